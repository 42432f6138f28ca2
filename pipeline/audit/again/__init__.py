"""A finished run decided again with other settings, over what it has stored."""
