"""Benches: run by hand, never as tests."""
