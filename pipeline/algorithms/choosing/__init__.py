"""Choices of samples to keep: by quotas, ranks, scores and draws."""
