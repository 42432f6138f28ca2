"""Parts that several steps have in common."""
