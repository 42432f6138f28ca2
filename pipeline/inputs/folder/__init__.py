"""Folders of single pictures as an input format."""
