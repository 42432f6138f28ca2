"""Signals: the stored columns that a job can name."""
