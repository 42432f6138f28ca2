"""The step `write`: shards of what is kept, and the list of its uids."""
