"""What a study takes, in data, time and disk space, and how far it is."""
