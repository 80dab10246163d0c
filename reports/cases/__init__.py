"""The case browser of the report: single objects with their image, reference and masks."""
