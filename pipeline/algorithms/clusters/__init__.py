"""Clusters of embeddings and near-equal members inside them: k-means and SemDeDup, on CPUs and GPUs."""
