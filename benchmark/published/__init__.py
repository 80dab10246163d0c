"""From files as published to pixels, labels and scans: one kind of file or trouble a module."""
