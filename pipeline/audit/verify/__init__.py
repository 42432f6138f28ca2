"""Counts and hashes of a finished run, made again and compared."""
