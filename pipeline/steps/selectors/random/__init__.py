"""The step `random`: a uniform choice."""
