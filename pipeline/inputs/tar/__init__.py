"""Tars of samples in the webdataset layout, read once from start to end."""
