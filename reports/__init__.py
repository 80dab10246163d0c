"""Figures, tables and the HTML report of a study, made from its results."""
