"""Scoring of finished predictions, from two folders of label files."""
