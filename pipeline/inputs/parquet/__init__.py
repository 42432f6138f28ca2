"""Parquet files of image-text pairs or of metadata alone, read a row group at a time."""
