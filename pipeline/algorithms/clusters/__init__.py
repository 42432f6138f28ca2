"""Concepts of embeddings, and near-equal members inside one: k-means and SemDeDup, on processors and GPUs."""
