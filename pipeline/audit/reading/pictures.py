"""The pictures of a finished run, read again from its inputs: small, on white, and never more bytes than asked for."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from PIL import Image

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.formats import PICTURE_COLUMNS, format_of
from tamis.pipeline.inputs.images import ImageDamage, to_rgb
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import storage
from tamis.schemas.errors import TamisError
from tamis.schemas.parse import parse_job

SIDE = 96
"""Pixels: the longer side of a thumbnail, at most."""
QUALITY = 72
GAP = 12
"""Pixels between pictures side by side."""
HELD = 8
"""Parts of which it is held where their pictures lie."""


class Pictures:
    """Reads pictures by sid. What stops it is no error, for the rest can be told without: it stands in ``notes``."""

    def __init__(self, run: FinishedRun) -> None:
        self._run = run
        self.notes: list[str] = []
        self._tables: dict[int, pa.Table | None] = {}

    @cached_property
    def _sources(self) -> dict[str, InputFile]:
        """The input files that are still where the job found them, by the name that the ledger has for them."""
        path = storage.join(self._run.root, "job.yaml")
        try:
            job = parse_job(storage.read_bytes(path).decode(), "job.yaml")
        except (FileNotFoundError, UnicodeDecodeError, TamisError) as error:
            self._note(f"job.yaml, which says where the inputs lie, cannot be read: {error}")
            return {}
        found = {}
        for entry in job.input:
            try:
                for file in input_files(entry):
                    found[file.source] = InputFile(
                        file.entry, file.relative, file.path, file.kind, file.size
                    )
            except TamisError as error:
                self._note(f"the input `{entry.name}` is not where the job found it: {error}")
        return found

    def _note(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)

    def encoded(self, sids: Iterable[int], side: int = SIDE) -> dict[int, bytes]:
        """WebP bytes of each sample's picture, ``side`` pixels at most; a sample that has none is left out."""
        by_part: dict[int, list[int]] = {}
        for sid in sorted(set(sids)):
            by_part.setdefault(sid >> 32, []).append(sid & 0xFFFFFFFF)
        found: dict[int, bytes] = {}
        for part, rows in by_part.items():
            for row, data in self._of_part(part, rows):
                small = shrink(data, side)
                if small is not None:
                    found[part << 32 | row] = small
        return found

    def _of_part(self, part: int, rows: Sequence[int]) -> list[tuple[int, bytes]]:
        """(row, the picture's bytes) of one part, where they can be had."""
        ingested = self._ingested(part)
        if ingested is None:
            self._note("tables/ingest, which says where the pictures lie, has been cleared")
            return []
        entry = self._run.source_names[self._run.parts[part][0]]
        ingested = ingested.take(pa.array(rows))
        there = np.array([value.is_valid for value in ingested["sha256"]], dtype=bool)
        if not there.any():
            return []
        source = self._sources.get(entry)
        if source is None:
            self._note(f"{entry} is gone: its pictures cannot be shown")
            return []
        return self._fetched(source, ingested.filter(pa.array(there)), np.array(rows)[there])

    def _ingested(self, part: int) -> pa.Table | None:
        """Where a part's pictures lie; of the parts last asked for it is held."""
        if part not in self._tables:
            table = self._run.ingested(part)
            held = None if table is None else table.select(PICTURE_COLUMNS)
            self._tables = dict([*self._tables.items(), (part, held)][-HELD:])
        return self._tables[part]

    def _fetched(
        self, source: InputFile, places: pa.Table, rows: np.ndarray
    ) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        try:
            for row, data in zip(
                rows.tolist(), format_of(source).pictures(source, places), strict=True
            ):
                found.append((row, data))
        except (TamisError, FileNotFoundError) as error:
            self._note(f"{source.source}: {error}")
        return found


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
    """One PNG of several samples' pictures, in that order; a blank for who has none; None where nobody has one."""
    found = Pictures(run).encoded(sids, side)
    if not found:
        return None
    sheet = Image.new("RGB", (len(sids) * (side + GAP) - GAP, side), "white")
    for place, sid in enumerate(sids):
        if sid in found:
            image = Image.open(io.BytesIO(found[sid]))
            left = place * (side + GAP) + (side - image.width) // 2
            sheet.paste(image, (left, (side - image.height) // 2))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


class Album:
    """Thumbnails for one page, with a bound on what they add to it."""

    def __init__(self, pictures: Pictures, limit: int, side: int = SIDE) -> None:
        self._pictures, self._side = pictures, side
        self._left = limit
        self._held: dict[int, bytes] = {}
        self.left_out = 0

    def fetch(self, sids: Iterable[int]) -> None:
        """Read these before they are shown: those of one input file together."""
        self._held |= self._pictures.encoded(set(sids) - set(self._held), self._side)

    def uri(self, sid: int) -> str | None:
        """The thumbnail as a ``data:`` URI; None where there is none, or no room for it."""
        data = self._held.get(sid)
        if data is None:
            return None
        written = "data:image/webp;base64," + base64.b64encode(data).decode()
        if len(written) > self._left:
            self.left_out += 1
            return None
        self._left -= len(written)
        return written

    @property
    def notes(self) -> list[str]:
        """Why pictures are missing, a line each."""
        left_out = self.left_out
        more = [f"{left_out:,} pictures are left out, to keep this file small"] if left_out else []
        return [*self._pictures.notes, *more]
