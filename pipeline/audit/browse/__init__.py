"""A finished run in a browser, served to this machine alone."""
