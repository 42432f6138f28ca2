"""Files, wherever they lie. The only package that opens a path."""
