"""Whether an adapter keeps its contract."""
