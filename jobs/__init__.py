"""The command line, tamis as a library, presets, and examples."""
