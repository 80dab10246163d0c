"""Weights of methods: registry, download and reading."""
