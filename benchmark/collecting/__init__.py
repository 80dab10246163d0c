"""The long tables of a study, collected from the shards of its runs, and its record."""
