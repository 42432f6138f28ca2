"""The step `near_duplicates`: captions that are nearly the same, under pictures that agree."""
