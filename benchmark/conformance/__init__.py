"""Check that an adapter fulfils its contract."""
