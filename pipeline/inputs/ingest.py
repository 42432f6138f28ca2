"""One input file as rows of the ingest table: positions, contents and faults."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow as pa

from tamis.pipeline.host import at_work
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import (
    FILE,
    FileTotals,
    IngestOptions,
    PartBuilder,
    Section,
    damage_row,
)
from tamis.schemas.ledger import Reason

DEADLY = "reading it ends the worker process"


class FileIngest:
    """The tables of a file by iteration, one a part; then ``totals`` is complete.

    Rows stand in the order of the file; at most one part's columns and one sample's members are held at a time.
    """

    def __init__(self, file: InputFile, options: IngestOptions) -> None:
        self.file = file
        self.options = options
        self.totals = FileTotals()

    def __iter__(self) -> Iterator[pa.Table]:
        builder = PartBuilder(self.options)
        for section in self._sections():
            if len(builder) > 0 and len(builder) + section.size > self.options.part_samples:
                yield builder.take()
            for piece in section.pieces:
                at_work.advance(1 if isinstance(piece, dict) else piece.num_rows)
                yield from builder.add(piece)
        if len(builder) > 0:
            yield builder.take()
        if not self.totals.sha256 and self.options.sections is None:
            self._hash()

    def _sections(self) -> Iterator[Section]:
        """Those of the file, but for what must not be read."""
        if FILE in self.options.closed:
            yield self._unread()
            return
        walk = format_of(self.file).walk(self.file, self.options, self.totals)
        probed = self.options.sections
        for number, section in enumerate(walk):
            if probed is not None and not probed[0] <= number < probed[1]:
                yield self._unread()
            elif number not in self.options.closed:
                yield section
            elif section.unread is None:
                yield self._unread()
            else:
                yield Section(section.size, section.unread(DEADLY))

    def _unread(self) -> Section:
        """A row for the file, or for what only a walk of it can count."""
        row = damage_row(self.file, Reason.KILLED_ITS_WORKER, f"the file: {DEADLY}")
        return Section(1, iter([row]))

    def _hash(self) -> None:
        digest = hashlib.sha256()
        for block in format_of(self.file).blocks(self.file):
            digest.update(block)
            self.totals.size += len(block)
        self.totals.sha256 = digest.digest()


def ingest_file(file: InputFile, options: IngestOptions) -> FileIngest:
    """Read one input file.

    Raises:
        InputError: the file is missing, or lacks a column that every job needs.
    """
    return FileIngest(file, options)
