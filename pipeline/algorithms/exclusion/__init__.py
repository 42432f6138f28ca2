"""Whether samples stand in a list: addresses in one form, keys that are equal, hashes that are near."""
