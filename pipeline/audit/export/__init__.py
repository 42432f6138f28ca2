"""A run's embeddings and metadata in the layouts that other programs read."""
