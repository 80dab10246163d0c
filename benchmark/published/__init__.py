"""Read published files into images, labels and scans.

Each module handles one file format or one kind of irregularity.
"""
