"""Parquet part files that know what they were made from."""
