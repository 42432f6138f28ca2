"""The files of a folder that belong to samples, in one order: together they are the folder's bytes.

A sample's files share their name up to the last dot: ``1.jpg``, ``1.txt``, ``1.json``; or they go on from the picture's
whole name, as photo albums write their facts: ``1.jpg.json``. The order is by that name, then by ending. Where a file
begins among the bytes of all is its offset, so that a folder is read as any other file is.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from tamis.pipeline.inputs.beside_pictures import named_after
from tamis.pipeline.inputs.captions import is_text
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.suffixes import ANY_PICTURE, CAPTION, META
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError

READ = frozenset((*ANY_PICTURE, CAPTION, META))
"""Endings of files that belong to samples, beside those that the job names."""


@dataclass(frozen=True)
class Place:
    """A file of a folder, and where its bytes begin among those of all."""

    stem: str
    suffix: str
    file: storage.File
    offset: int
    picture: str | None = None  # the picture whose whole name it goes on from


def named(file: InputFile) -> frozenset[str]:
    """The endings that the job names, in lower case."""
    names = (
        name for wanted in ("image", "text", "url", "uid") for name in file.reading.names(wanted)
    )
    return READ | {name.lower() for name in names}


def places(file: InputFile) -> list[Place]:
    """The files of a folder.

    Raises:
        InputError: there is no such folder, or a file's name is not UTF-8.
    """
    known, endings = storage.files_in(file.path), named(file)
    if not known and not storage.is_folder(file.path):
        raise InputError(f"`{storage.redact(file.path)}` is not there any more")
    split = [(*split_name(one.relative), one) for one in known]
    taken = [one for one in split if one[1].lower() in endings]
    for _, _, one in taken:
        if not is_text(one.relative):
            raise InputError(
                f"`{storage.redact(one.path)}`: the name is not UTF-8, as the ledger's are: rename it"
            )
    owned = sorted(_owned(taken), key=lambda one: (one[0], one[1], one[2].relative))
    offsets = accumulate((one.size for _, _, one, _ in owned), initial=0)
    return [
        Place(stem, suffix.lower(), one, offset, picture)
        for (stem, suffix, one, picture), offset in zip(owned, offsets, strict=False)
    ]


def _owned(
    taken: Sequence[tuple[str, str, storage.File]],
) -> Iterator[tuple[str, str, storage.File, str | None]]:
    """(stem, ending, file, picture) of each file: of one that goes on from a picture's name the picture and its stem,
    unless the picture has such a file already that is no other picture's too.
    """
    pictures = {one.relative for _, suffix, one in taken if suffix.lower() in ANY_PICTURE}
    alike = Counter(split_name(picture)[0] for picture in pictures)
    plain = {(stem, suffix.lower()) for stem, suffix, _ in taken}
    used: set[tuple[str, str]] = set()
    for stem, suffix, one in taken:
        picture = None if one.relative in pictures else named_after(one.relative, pictures)
        if picture is None or (picture, suffix.lower()) in used:
            yield stem, suffix, one, None
            continue
        home = split_name(picture)[0]
        if (home, suffix.lower()) in plain and alike[home] == 1:
            yield stem, suffix, one, None
            continue
        used.add((picture, suffix.lower()))
        yield home, suffix, one, picture


def split_name(name: str) -> tuple[str, str]:
    """(stem, ending) of a file's name, at its last dot."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, suffix) if dot else (name, "")


def by_stem(found: Sequence[Place]) -> list[list[Place]]:
    """The files of each sample."""
    return [list(files) for _, files in groupby(found, key=lambda place: place.stem)]


class Reader:
    """Reads files of a folder by their offsets.

    Raises:
        InputError: the folder has no file of that size there any more.
    """

    def __init__(self, file: InputFile) -> None:
        self._file, self._places = file, places(file)
        self._offsets = [place.offset for place in self._places]

    def read(self, offset: int, size: int) -> bytes:
        """The bytes of the file that begins at ``offset``."""
        # Of empty files and the one behind them, which begin alike, the last.
        number = bisect.bisect_right(self._offsets, offset) - 1
        place = self._places[number] if number >= 0 else None
        if size == 0:
            return b""
        if place is None or (place.offset, place.file.size) != (offset, size):
            raise self._changed()
        try:
            data = storage.read_bytes(place.file.path)
        except FileNotFoundError:
            raise self._changed() from None
        if len(data) != size:
            raise self._changed()
        return data

    def _changed(self) -> InputError:
        return InputError(
            f"`{storage.redact(self._file.path)}` has changed since it was ingested: a file is gone, or another has "
            "come: run again with --accept-changed"
        )
