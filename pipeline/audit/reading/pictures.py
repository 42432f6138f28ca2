"""Thumbnails of a finished run's pictures, read again from its inputs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.formats import PICTURE_COLUMNS, format_of
from tamis.pipeline.inputs.images import ImageDamage, to_rgb
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.tables.sids import part_of, row_of, sid_of
from tamis.pipeline.tasks.stored_job import read_job
from tamis.schemas.errors import TamisError

SIDE = 96
"""Longer side of a thumbnail in pixels, at most."""
QUALITY = 72
GAP = 12
"""Pixels between pictures side by side."""
CACHED_PARTS = 8
"""Parts whose offsets of pictures are held in memory, at most."""


class Squares(NamedTuple):
    """Pictures as squares of pixels: bool (n,), whether there is one, and uint8 (m, side, side, 3) of those."""

    found: np.ndarray
    pixels: np.ndarray


class Pictures:
    """Reads pictures by sid. Pictures that cannot be read are no error, but a line in ``notes``."""

    def __init__(self, run: FinishedRun) -> None:
        self._run = run
        self.notes: list[str] = []
        self._tables: dict[int, pa.Table | None] = {}

    @cached_property
    def _sources(self) -> dict[str, InputFile]:
        """Input files that are still there, by their names in the ledger."""
        try:
            job = read_job(self._run.root)
        except TamisError as error:
            self._note(f"job.yaml, which says where the inputs lie, cannot be read: {error}")
            return {}
        files = {}
        for entry in job.input:
            try:
                for file in input_files(entry):
                    files[file.source] = file
            except TamisError as error:
                self._note(f"the input `{entry.name}` is not where the job found it: {error}")
        return files

    def _note(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)

    def encoded(self, sids: Iterable[int], side: int = SIDE) -> dict[int, bytes]:
        """WebP bytes of the pictures by sid, ``side`` pixels at most; samples without a picture are left out, and those
        that a step redacts.
        """
        thumbnails: dict[int, bytes] = {}
        for sid, data in self._read(sids):
            small = shrink(data, side)
            if small is not None:
                thumbnails[sid] = small
        return thumbnails

    def squares(self, sids: Sequence[int], side: int) -> Squares:
        """The pictures by sid, each drawn out to a square of ``side`` pixels."""
        found: dict[int, np.ndarray] = {}
        for sid, data in self._read(sids):
            try:
                picture = to_rgb(data)
            except ImageDamage:
                continue
            found[sid] = np.asarray(picture.resize((side, side), Image.Resampling.BOX))
        there = np.array([sid in found for sid in sids], dtype=bool)
        shown = [found[sid] for sid in sids if sid in found]
        blank = np.empty((0, side, side, 3), np.uint8)
        return Squares(there, np.stack(shown) if shown else blank)

    def _read(self, sids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """(sid, the picture's bytes) of those that can be read and that no step redacts."""
        by_part: dict[int, list[int]] = {}
        for sid in self._run.without_redacted(sids):
            by_part.setdefault(part_of(sid), []).append(row_of(sid))
        for part, rows in by_part.items():
            for row, data in self._of_part(part, rows):
                yield sid_of(part, row), data

    def _of_part(self, part: int, rows: Sequence[int]) -> list[tuple[int, bytes]]:
        """(row, the picture's bytes) of the readable pictures of one part."""
        ingested = self._ingested(part)
        if ingested is None:
            self._note("tables/ingest, which says where the pictures lie, has been cleared")
            return []
        entry = self._run.source_names[self._run.parts[part].file]
        ingested = ingested.take(pa.array(rows))
        readable = np.array([value.is_valid for value in ingested["sha256"]], dtype=bool)
        if not readable.any():
            return []
        source = self._sources.get(entry)
        if source is None:
            self._note(f"{entry} is gone: its pictures cannot be shown")
            return []
        return self._fetched(source, ingested.filter(pa.array(readable)), np.array(rows)[readable])

    def _ingested(self, part: int) -> pa.Table | None:
        """The offsets of a part's pictures; those of the last ``CACHED_PARTS`` parts are cached."""
        if part not in self._tables:
            table = self._run.ingested(part)
            offsets = None if table is None else table.select(PICTURE_COLUMNS)
            self._tables = dict([*self._tables.items(), (part, offsets)][-CACHED_PARTS:])
        return self._tables[part]

    def _fetched(
        self, source: InputFile, offsets: pa.Table, rows: np.ndarray
    ) -> list[tuple[int, bytes]]:
        pictures: list[tuple[int, bytes]] = []
        try:
            for row, data in zip(
                rows.tolist(), format_of(source).pictures(source, offsets), strict=True
            ):
                pictures.append((row, data))
        except (TamisError, FileNotFoundError) as error:
            self._note(f"{source.source}: {error}")
        return pictures


def shrink(data: bytes, side: int) -> bytes | None:
    """A picture as WebP, ``side`` pixels at most, on white; None where it cannot be decoded."""
    try:
        image = to_rgb(data)
    except ImageDamage:
        return None
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=QUALITY, method=4)
    return out.getvalue()


def side_by_side(run: FinishedRun, sids: Sequence[int], side: int) -> bytes | None:
    """One PNG of several samples' pictures, in that order, with blanks for missing ones; None if all are missing."""
    thumbnails = Pictures(run).encoded(sids, side)
    if not thumbnails:
        return None
    sheet = Image.new("RGB", (len(sids) * (side + GAP) - GAP, side), "white")
    for index, sid in enumerate(sids):
        if sid in thumbnails:
            image = Image.open(io.BytesIO(thumbnails[sid]))
            left = index * (side + GAP) + (side - image.width) // 2
            sheet.paste(image, (left, (side - image.height) // 2))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


class Album:
    """Thumbnails for one page, with a limit on their bytes."""

    def __init__(self, pictures: Pictures, limit: int, side: int = SIDE) -> None:
        self._pictures, self._side = pictures, side
        self._left = limit
        self._fetched: dict[int, bytes] = {}
        self.left_out = 0

    def fetch(self, sids: Iterable[int]) -> None:
        """Read these pictures, each input file once; ``uri`` then returns them."""
        self._fetched |= self._pictures.encoded(set(sids) - set(self._fetched), self._side)

    def uri(self, sid: int) -> str | None:
        """A fetched thumbnail as a ``data:`` URI; None if there is none, or it exceeds the limit."""
        data = self._fetched.get(sid)
        return None if data is None else self.written(data)

    def written(self, data: bytes) -> str | None:
        """A thumbnail as a ``data:`` URI; None if it exceeds the limit."""
        written = "data:image/webp;base64," + base64.b64encode(data).decode()
        if len(written) > self._left:
            self.left_out += 1
            return None
        self._left -= len(written)
        return written

    @property
    def notes(self) -> list[str]:
        """Reasons for missing pictures, a line each."""
        left_out = self.left_out
        more = [f"{left_out:,} pictures are left out, to keep this file small"] if left_out else []
        return [*self._pictures.notes, *more]
