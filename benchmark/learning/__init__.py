"""Methods that learn: which patients they learn from, and their training."""
