"""The case browser of the report: single objects with image, reference and predicted masks."""
