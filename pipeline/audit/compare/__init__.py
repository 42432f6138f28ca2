"""Differences between two runs, and their causes."""
