"""What a reader sees: figures, tables and the report, made from a study's results."""
