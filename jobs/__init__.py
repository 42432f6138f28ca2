"""What a person runs: the command line, presets, and examples."""
