"""The scans of a JPEG, alone or in a TIFF: many take hours to decode, however few bytes they have."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

MAX_SCANS = 100
"""Of a JPEG; real ones have up to about 12. Each is decoded over the whole picture."""

_SCAN = int.from_bytes(b"\xff\xda", "little")

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A JPEG's marker that begins a segment, or ends the picture: neither a stuffed byte nor a restart."""


def too_many(data: bytes | memoryview, image: Image.Image) -> str | None:
    """A message where an opened picture has more scans than MAX_SCANS; None for all others."""
    is_jpeg = image.format in {"JPEG", "MPO"}
    if not is_jpeg and image.format != "TIFF":
        return None
    found = min(marks(data), MAX_SCANS * 1000)
    if found > MAX_SCANS and is_jpeg:
        # Other segments may have such bytes, and what stands behind the picture.
        found = by_segments(data, MAX_SCANS)
    elif found > MAX_SCANS:
        found = found if "jpeg" in str(image.info.get("compression")) else 0
        found -= len(_strip_offsets(image))
    if found <= MAX_SCANS:
        return None
    return f"{found} scans: the limit is {MAX_SCANS}, for each is decoded in full"


def marks(data: bytes | memoryview) -> int:
    """How often the two bytes that begin a scan stand in it, by words: ``bytes.count`` takes seven times as long."""
    words = (np.frombuffer(data, "<u2", (len(data) - odd) // 2, odd) for odd in (0, 1))
    return sum(int(np.count_nonzero(word == _SCAN)) for word in words)


def by_segments(data: bytes | memoryview, most: int) -> int:
    """The scans of a JPEG, by its segments up to its end; ``most`` and one where there are more."""
    position, count = 2, 0
    while count <= most and (marker := _MARKER.search(data, position)):
        position = marker.end()
        kind = data[position - 1]
        if kind == 0xD9:
            break
        count += kind == 0xDA
        position += int.from_bytes(data[position : position + 2], "big")
    return count


def _strip_offsets(image: Image.Image) -> Sequence[int]:
    """The offsets of a TIFF's strips or tiles, each of which is a JPEG of its own."""
    tags = getattr(image, "tag_v2", {})
    return tuple(tags.get(273) or tags.get(324) or ())
