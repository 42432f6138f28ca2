"""The step `write`: shards of the kept samples, and the list of their uids."""
