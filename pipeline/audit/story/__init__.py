"""One sample from its input to its fate."""
