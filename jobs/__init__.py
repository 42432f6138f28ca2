"""The command line, presets, and examples."""
