"""The command line, the Python interface, presets, and examples."""
