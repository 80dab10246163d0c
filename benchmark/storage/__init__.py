"""Files of data and results: where they are, and how they are written and read."""
