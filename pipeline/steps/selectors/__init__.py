"""Selectors: the steps that keep a given share or number of the samples."""
