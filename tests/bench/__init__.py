"""Benchmarks of speed and memory, run by hand and not as tests."""
