"""What is measured, and how; knows no particular model."""
