"""JPEGs in colour, decoded by simplejpeg: the same library as Pillow's, asked for all rows at once and not for one.

Its pixels are Pillow's. What it does not take without a warning, Pillow decodes.
"""

from __future__ import annotations

import simplejpeg
from PIL import Image

MAX_BYTES = 64 << 20
"""Of a picture's pixels; a larger one would take too much memory beside the picture itself."""


def decoded(image: Image.Image, data: bytes) -> Image.Image | None:
    """The pixels of an opened JPEG; None where they are left to Pillow."""
    width, height = image.size
    if (image.format, image.mode) != ("JPEG", "RGB") or 4 * width * height > MAX_BYTES:
        return None
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGBA")
    except ValueError:
        return None
    if pixels.shape != (height, width, 4):
        return None
    made = Image.frombytes("RGB", image.size, memoryview(pixels).cast("B"), "raw", "RGBX")
    made.info = image.info
    return made
