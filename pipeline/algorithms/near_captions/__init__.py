"""Captions that are nearly the same: MinHash proposes, exact Jaccard decides."""
