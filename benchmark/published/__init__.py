"""Find the published files of a dataset and read them into images, labels and scans.

Each module handles one file format or one part of a dataset's layout.
"""
