"""The step `rules`: signals compared with bounds."""
