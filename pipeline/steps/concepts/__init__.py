"""Every embedded sample in a concept: what the steps share that cluster."""
