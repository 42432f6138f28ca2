"""Columns of metadata that hold a URL, a size or a key under a name of their own: a guess by names and values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pyarrow as pa

from tamis.pipeline.inputs import columns
from tamis.pipeline.inputs.columns import Columns
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.suffixes import ANY_PICTURE

OF_PICTURES = ("image", "img", "picture", "photo", "download", "media", "high", "large", "orig")
"""Pieces of the names of columns with the addresses of pictures, the likelier first."""

OF_PAGES = ("page", "licen", "author", "user", "profile", "avatar", "thumb", "source", "ref")
"""Pieces of the names of columns with other addresses."""

KEY = re.compile(
    r"(image|img|photo|picture|pic|media|sample|asset)_?(id|key)|__key__|identifier|guid|uuid"
)

SIDE = re.compile(r"(image|img|photo|picture|pic|orig|original|media|o|i)?[_.]?(width|w)")


def guessed(
    file: InputFile, rows: pa.Table, known: Columns, taken: Mapping[str, str]
) -> dict[str, str]:
    """``url``, ``width``, ``height`` and ``key`` -> the column that seems to hold it; only what is not ``taken``.

    Args:
        file: a table.
        rows: its first rows, of schema INGEST.
        known: its columns.
        taken: what of a sample is found already -> its column.
    """
    found: dict[str, str] = {}
    free = {name: kind for name, kind in known.items() if name not in taken.values()}
    if "url" not in taken and (name := _url(file, rows, free)) is not None:
        found["url"] = name
    if not {"width", "height", "image"} & taken.keys():
        found |= dict(_size(free))
    if "key" not in taken and (name := _key(file, rows, free)) is not None:
        found["key"] = name
    return found


def _values(file: InputFile, rows: pa.Table, name: str, kind: pa.DataType) -> list[object]:
    found: list[object] = format_of(file).values(file, rows, {name: kind})[name].to_pylist()
    return found


def _url(file: InputFile, rows: pa.Table, known: Columns) -> str | None:
    """The likeliest column of addresses: of pictures by their endings, then by its name."""
    ranked: list[tuple[bool, int, str]] = []
    for name, kind in known.items():
        if kind != columns.TEXT:
            continue
        texts = [str(text) for text in _values(file, rows, name, columns.TEXT) if text]
        if not texts or not all(text.startswith(("http://", "https://")) for text in texts):
            continue
        lower = name.lower()
        endings = [urlsplit(text).path.rpartition(".")[2].lower() for text in texts]
        pictures = sum(ending in ANY_PICTURE for ending in endings) > len(endings) / 2
        pages = any(word in lower for word in OF_PAGES)
        rank = next((n for n, word in enumerate(OF_PICTURES) if word in lower), len(OF_PICTURES))
        if pictures or not pages:
            ranked.append((not pictures, rank, name))
    return min(ranked)[2] if ranked else None


def _size(known: Columns) -> Iterator[tuple[str, str]]:
    """The first pair of columns of numbers that are called as a width and its height are."""
    by_lower = {name.lower(): name for name in known if columns.is_number(known[name])}
    for lower, name in by_lower.items():
        match = SIDE.fullmatch(lower)
        if match is None:
            continue
        other = lower[: match.start(2)] + {"width": "height", "w": "h"}[match[2]]
        if other in by_lower:
            yield from (("width", name), ("height", by_lower[other]))
            return


def _key(file: InputFile, rows: pa.Table, known: Columns) -> str | None:
    """The first column with a key's name that tells all first rows apart."""
    for name, kind in known.items():
        if KEY.fullmatch(name.lower()) and kind in (columns.TEXT, columns.NUMBER):
            values = _values(file, rows, name, kind)
            if None not in values and len({*values}) == len(values):
                return name
    return None
