"""Endings of pictures, captions and facts, in tars and in folders; and columns that name such files."""

from __future__ import annotations

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
"""Of pictures that are read, the preferred one first."""

OTHER_PICTURES = frozenset(
    ("avif", "heic", "heif", "jp2", "j2k", "jxl", "svg", "jfif", "jpe", "ico", "psd")
)
"""Of pictures that are not read, to be named in a message."""

ANY_PICTURE = OTHER_PICTURES.union(PICTURES)

CAPTION = "txt"
META = "json"

NAMES = (
    *("file_name", "image_path", "image_file", "filepath", "file_path", "filename"),
    *("image_name", "image_filename", "img_path", "img_name"),
    *("image", "img", "picture", "photo", "path", "file"),
)
"""Columns with the paths of pictures, in lower case, the preferred name first."""

UID = "tamis.uid"
"""Of the member that says a sample's uid where its json says another one, or none by that name."""
