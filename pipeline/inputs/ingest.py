"""One input file as rows of the ingest table: what lies where, what it is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions, PartBuilder


class FileIngest:
    """Iterate for the tables, one a part; then ``totals`` is complete.

    Rows stand in the order of the file; at most one part's columns and one sample's members are held at a time.
    """

    def __init__(self, source: InputFile, options: IngestOptions) -> None:
        self.source = source
        self.options = options
        self.totals = FileTotals()

    def __iter__(self) -> Iterator[pa.Table]:
        builder = PartBuilder(self.options)
        for run in format_of(self.source).walk(self.source, self.options, self.totals):
            if len(builder) > 0 and len(builder) + run.size > self.options.part_samples:
                yield builder.take()
            for piece in run.pieces:
                yield from builder.add(piece)
        if len(builder) > 0:
            yield builder.take()


def ingest_file(source: InputFile, options: IngestOptions) -> FileIngest:
    """Read one input file.

    Raises:
        InputError: the file is not there, or lacks what every job needs.
    """
    return FileIngest(source, options)
