"""The step `counts`: how often a caption, a URL or a domain stands in the pool, and boilerplate, as signals."""
