"""One input file as rows of the ingest table: positions, contents and faults."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tamis.pipeline.host import at_work
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions, PartBuilder


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
        for section in format_of(self.file).walk(self.file, self.options, self.totals):
            if len(builder) > 0 and len(builder) + section.size > self.options.part_samples:
                yield builder.take()
            for piece in section.pieces:
                at_work.advance(1 if isinstance(piece, dict) else piece.num_rows)
                yield from builder.add(piece)
        if len(builder) > 0:
            yield builder.take()


def ingest_file(file: InputFile, options: IngestOptions) -> FileIngest:
    """Read one input file.

    Raises:
        InputError: the file is missing, or lacks a column that every job needs.
    """
    return FileIngest(file, options)
