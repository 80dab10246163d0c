"""The model of the paper; it is not implemented yet."""
