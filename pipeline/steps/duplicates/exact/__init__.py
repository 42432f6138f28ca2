"""The step `exact_duplicates`: the same picture, pixels, pair, or URL and caption."""
