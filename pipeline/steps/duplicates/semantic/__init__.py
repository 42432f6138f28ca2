"""The step `semantic_duplicates`: near-equal embeddings inside a cluster (SemDeDup)."""
