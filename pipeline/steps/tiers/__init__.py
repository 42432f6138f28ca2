"""The step `tiers`: names for the ranges of a signal."""
