"""Maths on arrays: no I/O, no Ray, no configuration."""
