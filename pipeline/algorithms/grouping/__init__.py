"""From pairs to groups: the search of a bucket, and connected components."""
