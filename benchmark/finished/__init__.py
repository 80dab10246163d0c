"""Predictions made elsewhere, scored from two folders of label files."""
