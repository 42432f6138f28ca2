"""The steps that choose how many samples are kept, and which."""
