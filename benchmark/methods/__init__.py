"""Methods of a study: find them by name, and tell apart their states without a version."""
