"""Predicted costs of a job, here or on a cluster, and the batch size that suits this machine."""
