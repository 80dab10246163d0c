"""Adapters of methods to compare with: one file a method, and the controls."""
