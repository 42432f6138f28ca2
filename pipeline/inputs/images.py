"""Pictures: their size, format, hashes and pixels.

Pillow opens them all, and decodes them but for JPEGs and PNGs of usual kinds, which ``jpeg.py`` and ``png.py`` decode
faster to the same pixels. The rules for every reader:

- Size and pixels are the stored ones. Orientation is not applied, a TIFF's neither, which Pillow would turn.
- Of an animation the first frame counts.
- Transparent pixels are composited on white; a plain RGB conversion would show what lies hidden below.
- CMYK is converted without its colour profile, as Pillow does; of 16 bits the upper eight are taken.
- Grey in floating point is of 0 to 1 where no value is above 1, else of 0 to 255.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from tamis.pipeline.inputs import jpeg, jpeg_scans, png
from tamis.pipeline.inputs.compositing import on_white, palette, rgba
from tamis.pipeline.inputs.picture_formats import (
    BROKEN,
    FORMATS,
    ends_early,
    why_unidentified,
    words_of,
)
from tamis.pipeline.inputs.thumbnails import looks, thumbnails
from tamis.pipeline.store.damage import lacks_memory
from tamis.schemas.ledger import Reason

MAX_PIXELS = 178_956_970

# ``max_pixels`` is the limit instead, and a picture that ends early is damaged whatever the environment says.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False

ORIENTATION = 0x0112

TURN_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""Orientation of a TIFF -> the inverse of how Pillow has turned it."""

ANIMATED = frozenset({"gif", "png", "webp"})
"""Formats whose further frames are those of a film, and not other pictures in the same file."""

_STRIP_PIXELS = 1 << 20
T = TypeVar("T")

Least = Callable[[int, int], tuple[int, int]]
"""A function from the stored (width, height) to the smallest (width, height) that suffices."""


class ImageDamage(Exception):  # noqa: N818 - it is a finding about the input, not an error of ours
    """A picture that cannot be used: the reason for its row, and a message for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Picture(NamedTuple):
    """The facts of a picture: stored size in pixels, format (lower case), hash of pixels, and ``thumbnails``."""

    width: int
    height: int
    format: str
    pixels: bytes
    thumbnails: bytes

    @property
    def phash(self) -> int:
        """Its perceptual hash."""
        return int(looks([self.thumbnails]).phashes[0])

    @property
    def layout(self) -> bytes:
        """Its layout, by ``layouts.encode``."""
        return bytes(looks([self.thumbnails]).layouts[0])


@contextmanager
def _decoding(data: bytes | memoryview) -> Iterator[None]:
    """Turn a decoder's errors into ImageDamage, and silence its warnings whatever -W says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except BROKEN as error:
            if lacks_memory(error):
                raise MemoryError(str(error)) from error
            early = "truncated" in str(error).lower() or ends_early(bytes(data))
            reason = Reason.TRUNCATED_IMAGE if early else Reason.UNDECODABLE_IMAGE
            unknown = isinstance(error, UnidentifiedImageError)
            raise ImageDamage(
                reason, why_unidentified(data) if unknown else words_of(error)
            ) from None


def _open(data: bytes | memoryview, max_pixels: int) -> Image.Image:
    """The picture with its header read, its size checked, and nothing decoded."""
    if len(data) == 0:
        raise ImageDamage(Reason.EMPTY_IMAGE, "0 bytes")
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    many = jpeg_scans.too_many(data, image)
    if many:
        raise ImageDamage(Reason.IMAGE_TOO_LARGE, many)
    width, height = image.size
    if width * height > max_pixels:
        message = f"{width} x {height} pixels: the limit is {max_pixels} (max_pixels)"
        raise ImageDamage(Reason.IMAGE_TOO_LARGE, message)
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or of floats in 0..255, as RGBA of eight bits, a strip at a time."""
    width, height = image.size
    canvas = Image.new("RGBA", image.size)
    hidden = image.info.get("transparency")
    is_share = image.mode == "F" and _is_share(image)
    for top, bottom in _strips(width, height):
        values = np.asarray(image.crop((0, top, width, bottom)))
        if image.mode == "F":
            grey = np.clip(np.nan_to_num(values) * (255 if is_share else 1), 0, 255)
        else:
            grey = np.clip(values, 0, 65535) >> 8
        strip = Image.fromarray(grey.astype(np.uint8)).convert("RGBA")
        if isinstance(hidden, int):
            seen = np.where(values == hidden, 0, 255).astype(np.uint8)
            strip.putalpha(Image.fromarray(seen))
        canvas.paste(strip, (0, top))
    return canvas


def _is_share(image: Image.Image) -> bool:
    """Whether a picture of floats is of 0 to 1: none is above, and one lies between."""
    low, high = image.getextrema()
    return 0 < float(high) <= 1 and float(low) >= 0  # type: ignore[arg-type]  # of a picture of one band


def _strips(width: int, height: int) -> Iterator[tuple[int, int]]:
    """(top, bottom) of strips of about _STRIP_PIXELS."""
    rows = max(1, _STRIP_PIXELS // max(1, width))
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _read(
    data: bytes | memoryview, max_pixels: int, least: Least | None = None
) -> tuple[Image.Image, Image.Image]:
    """The picture as it was opened, and its first frame."""
    data = bytes(data)
    known = png.rows(data)
    if known is not None:
        with suppress(*BROKEN):  # Pillow's words on the file as it is are what is told
            if known.unfiltered and png.ends_after(data, known):
                image = _open(data, max_pixels)
                return image, _decoded(png.unpacked(image, known))
            image = _open(png.stored(data, known), max_pixels)
            return image, _decoded(image)
    image = _open(data, max_pixels)
    if least is not None:
        image.draft(image.mode, least(*image.size))  # no effect on other formats than JPEG
        return image, _decoded(image)
    return image, jpeg.decoded(image, data) or _decoded(image)


def _decoded(image: Image.Image) -> Image.Image:
    """The first frame, eight bits a channel, as it is stored."""
    turned = image.getexif().get(ORIENTATION) if image.format == "TIFF" else None
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image)
    image.load()
    return image.transpose(TURN_BACK[turned]) if turned in TURN_BACK else image


def _hash_pixels(image: Image.Image) -> bytes:
    """XXH3-128 of width and height (little-endian uint32) and the RGBA bytes, row by row."""
    digest = xxhash.xxh3_128(struct.pack("<II", *image.size))
    for strip in _each_strip(image):
        digest.update(_rgba_bytes(strip))
    return digest.digest()


def _each_strip(image: Image.Image) -> Iterator[Image.Image]:
    width, height = image.size
    for top, bottom in _strips(width, height):
        whole = bottom - top == height
        yield image if whole else image.crop((0, top, width, bottom))


def _rgba_bytes(image: Image.Image) -> pa.Buffer:
    """The RGBA bytes, where possible in Pillow's own memory.

    It holds RGB in four bytes, of which all its usual decoders set the last to 255. Then they are the RGBA bytes, and
    of a JPEG a tenth of the time is saved.
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        buffer: pa.Buffer = pa.array(image).buffers()[-1]
        common = np.bitwise_and.reduce(np.frombuffer(buffer, np.uint32))
        if common.tobytes()[3] == 255:
            return buffer
    return pa.array(rgba(image)).buffers()[-1]


def _format(opened: Image.Image) -> str:
    return "jpeg" if opened.format == "MPO" else str(opened.format).lower()


def inspect(data: bytes | memoryview, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a picture once, in full, and measure it.

    Raises:
        ImageDamage: no bytes, too many pixels (seen in the header, before decoding), cut off, or no
            picture of a known format.
    """
    with _decoding(data):
        opened, image = _read(data, max_pixels)
        return Picture(*image.size, _format(opened), _hash_pixels(image), thumbnails(image))


class Opened:
    """A picture for signals: what its file says of itself, and its first frame, decoded once where one asks for it.

    Of a palette the colours are looked at instead of the pixels, and of grey one channel.

    Raises:
        ImageDamage: as ``inspect``, at the first look at pixels where the header is sound.
    """

    def __init__(self, data: bytes | memoryview, max_pixels: int = MAX_PIXELS) -> None:
        """Read its header."""
        self._data, self._limit = data, max_pixels
        self._measures: dict[Any, Any] = {}
        with _decoding(data):
            opened = _open(data, max_pixels)
            self.format = _format(opened)
            tables: Mapping[int, Sequence[int]] = getattr(opened, "quantization", None) or {}
            self.tables = tables
            """A JPEG's quantisation tables by number, row by row; empty for other formats."""
            # A GIF is read to its end for this.
            self._has_frames = self.format != "gif" and bool(getattr(opened, "is_animated", False))

    @cached_property
    def _image(self) -> Image.Image:
        with _decoding(self._data):
            return _read(self._data, self._limit)[1]

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """RGB on white, as an encoder gets it, (height, width, 3)."""
        image = self._image
        with _decoding(self._data):
            return np.asarray(on_white(image, "RGB"))

    @cached_property
    def _palette(self) -> Image.Image:
        """The 256 colours of a picture that has a palette."""
        return palette(self._image)

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        """The pixels of each."""
        return np.array(self._image.histogram())

    @cached_property
    def _luma(self) -> Image.Image:
        image = self._image
        with _decoding(self._data):
            return on_white(image, "L", self._palette if image.mode == "P" else None)

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """Its luma (ITU-R BT.601) on white, (height, width)."""
        return np.asarray(self._luma)

    def measured(self, measure: Callable[[NDArray[np.uint8]], T]) -> T:
        """``measure(grey)``, kept for other signals that need it."""
        if measure not in self._measures:
            self._measures[measure] = measure(self.grey)
        found: T = self._measures[measure]
        return found

    @cached_property
    def levels(self) -> list[int]:
        """The pixels of each of the 256 levels of grey."""
        return self._luma.histogram()

    @property
    def colourless(self) -> float:
        """Share of the pixels whose three channels are equal, or of which nothing is seen."""
        image = self._image
        if image.mode in {"1", "L", "LA"}:
            return 1.0
        if image.mode == "P":
            equal = int(self._counts[_colourless(self._palette)].sum())
        else:
            plain = image.mode == "RGB" and not image.has_transparency_data
            strips = (strip if plain else rgba(strip) for strip in _each_strip(image))
            equal = sum(int(np.count_nonzero(_colourless(strip))) for strip in strips)
        return equal / (image.width * image.height)

    @property
    def opaque(self) -> float:
        """The mean opacity of its pixels, 0 to 1."""
        image = self._image
        if image.mode in {"L", "RGB"} and not image.has_transparency_data:
            return 1.0
        if image.mode == "P":
            of_colours = np.asarray(self._palette.getchannel("A"), np.int64).ravel()
            total = int(of_colours @ self._counts)
        else:
            layer = image if image.mode == "LA" else rgba(image)
            alpha = pa.array(layer.getchannel("A")).buffers()[-1]
            total = int(np.frombuffer(alpha, np.uint8).sum(dtype=np.int64))
        return total / (255 * image.width * image.height)

    @property
    def is_animated(self) -> bool | None:
        """Whether a second frame follows; None where what stands behind the first is damaged."""
        if self.format != "gif":
            return self._has_frames and self.format in ANIMATED
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(io.BytesIO(self._data), formats=FORMATS) as image:
                    return bool(getattr(image, "is_animated", False))
        except BROKEN as error:
            if lacks_memory(error):
                raise MemoryError(str(error)) from error
            return None


def _colourless(image: Image.Image) -> NDArray[np.bool_]:
    """(n,): the pixels of a picture in RGB or RGBA without colour; Pillow holds them in four bytes each."""
    pixels = np.frombuffer(pa.array(image).buffers()[-1], "<u4")
    equal: NDArray[np.bool_] = (pixels ^ pixels >> 8) & 0xFFFF == 0
    if image.mode == "RGBA":
        equal |= pixels < 1 << 24
    return equal


def to_rgb(
    data: bytes | memoryview, max_pixels: int = MAX_PIXELS, least: Least | None = None
) -> Image.Image:
    """The picture for an encoder: RGB, first frame, on white, of the stored orientation.

    With ``least`` a JPEG may come smaller than stored: its decoder then skips the highest frequencies, and most of the
    work.

    Raises:
        ImageDamage: as ``inspect``.
    """
    with _decoding(data):
        return on_white(_read(data, max_pixels, least)[1], "RGB")
