"""Endings of pictures, captions and facts, in tars and in folders."""

from __future__ import annotations

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
"""Of pictures that are read, the preferred one first."""

OTHER_PICTURES = frozenset(
    ("avif", "heic", "heif", "jp2", "j2k", "jxl", "svg", "jfif", "jpe", "ico", "psd")
)
"""Of pictures that are not read, to be named in a message."""

CAPTION = "txt"
META = "json"
