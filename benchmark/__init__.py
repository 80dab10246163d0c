"""The benchmark: what is measured, and how; independent of any particular model."""
