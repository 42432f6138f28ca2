"""The formats of pictures that are read, and what is said of bytes that are none of them.

Pillow's plugins are named here, so that no installed one (or its external program) is ever tried on input bytes.
"""

from __future__ import annotations

import io
import struct
import zlib

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

PLUGINS = {
    plugin.format: plugin
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        GifImagePlugin.GifImageFile,
        BmpImagePlugin.BmpImageFile,
        TiffImagePlugin.TiffImageFile,
    )
}
FORMATS = tuple(PLUGINS)

SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}
"""A picture's format as the tables have it -> ending of its files, where the two differ."""

SNIFFED = 1024
"""First bytes of a file from which its format is told."""

OWN_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"RIFF": "WEBP",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
OTHER_MAGIC = (
    (4, b"ftypavi", "AVIF"),
    (4, b"ftypmif1", "HEIC or AVIF"),
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypcrx", "a camera's raw picture"),
    (4, b"ftyp", "a film"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"JXL \r\n\x87\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"II+\0", "BigTIFF"),
    (0, b"MM\0+", "BigTIFF"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PK\x03\x04", "a zip archive"),
)
"""(offset, bytes, name) of formats that are met in the wild."""

BASE64 = ("iVBOR", "/9j/", "UklGR", "R0lGOD", "Qk")
"""The first characters of pictures that are written as text."""

BROKEN = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""Errors of Pillow's decoders on damaged bytes."""


def words_of(error: BaseException) -> str:
    """A decoder's error in one line."""
    return f"{type(error).__name__}: {error}"


def why_unidentified(data: bytes | memoryview) -> str:
    """The reason why no plugin of Pillow's opens a file: Pillow's message has the buffer's address, never the same."""
    start = bytes(data[:SNIFFED])
    for magic, name in OWN_MAGIC.items():
        if start.startswith(magic):
            try:
                PLUGINS[name](io.BytesIO(data))
            except BROKEN as error:
                return f"a {name} that cannot be read: {words_of(error)}"
    for place, magic, name in OTHER_MAGIC:
        if start[place:].startswith(magic):
            return f"this is {name}, which is not decoded: convert it to JPEG, PNG or WebP"
    if b"<svg" in start.lower():
        return "this is SVG, which is not decoded: draw it as PNG"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "this is a page of HTML, and no picture"
    if start.startswith(tuple(map(str.encode, BASE64))):
        return "this is base64, text in place of bytes: write what base64.b64decode makes of it"
    return f"no picture of a known format ({', '.join(FORMATS)})"


def ends_early(data: bytes) -> bool:
    """Whether a picture that would not decode lacks its format's last bytes."""
    if data.startswith(b"\xff\xd8\xff"):
        return not data.rstrip(b"\0").endswith(b"\xff\xd9")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND" not in data[-64:]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    if data[:4] == b"GIF8":
        return not data.rstrip(b"\0").endswith(b";")
    if data[:2] == b"BM":
        return len(data) < int.from_bytes(data[2:6], "little")
    return False
