"""Files on disk and on object stores. The only package that opens a path."""
