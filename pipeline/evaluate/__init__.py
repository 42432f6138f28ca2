"""Small heads: those that compare what selectors choose, and those that tell a trusted set from a pool."""
