"""The step `index`: all embedded pictures laid out by concept, so that a search reads a small share of them."""
