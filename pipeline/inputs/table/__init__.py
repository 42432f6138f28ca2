"""Tables in text, JSON lines and CSV, with the paths of pictures or without, as input formats."""
