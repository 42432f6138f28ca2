"""The step `embed`: pictures and captions to vectors."""
