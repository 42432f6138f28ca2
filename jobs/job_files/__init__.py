"""Job files: found, changed by settings, made whole, and written for the data at hand."""
