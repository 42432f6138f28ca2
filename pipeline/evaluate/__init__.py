"""Comparison of selectors: small heads trained on their choices, beside heads trained on random pairs."""
