"""Part files, which are parquet with a fingerprint, their paths, and their columns as arrays."""
