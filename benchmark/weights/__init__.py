"""Weights of methods: what they are, how they come here, and how they are read."""
