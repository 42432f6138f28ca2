"""Pictures for tests: of every mode and format, whole and broken."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def noise(width: int = 40, height: int = 30, channels: int = 3, seed: int = 0) -> Image.Image:
    """Smooth, seeded pixels: unlike any other seed's, and not too hard on a lossy format."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, channels), dtype=np.uint8)
    image = Image.fromarray(coarse.squeeze() if channels == 1 else coarse)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The picture as a file."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims this size; its pixels are a few bytes of zeros."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    chunks = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_with(kind: bytes, body: bytes) -> bytes:
    """A good PNG with one more chunk behind its header."""
    data = encode(noise())
    return data[:33] + png_chunk(kind, body) + data[33:]


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose header claims this size."""
    data = bytearray(encode(noise(), "JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)
