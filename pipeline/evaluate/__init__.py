"""What a choice is worth: small heads trained on it, beside heads trained on random pairs."""
