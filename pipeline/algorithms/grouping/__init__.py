"""Pairs and groups of duplicates: the search of a bucket, and connected components."""
