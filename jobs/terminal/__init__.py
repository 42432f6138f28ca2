"""Numbers, tables and pictures in a terminal."""
