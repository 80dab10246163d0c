"""The model of the paper: networks and their checkpoints. Importing the package loads no torch."""
