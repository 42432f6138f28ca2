"""Tars in the webdataset layout, as an input format."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs import columns, json_rows, partitions
from tamis.pipeline.inputs.formats import Buffer, Outline, Sample
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.json_rows import JsonRows
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions, Section
from tamis.pipeline.inputs.tar import fetch, torn
from tamis.pipeline.inputs.tar.rows import read_json, rows
from tamis.pipeline.inputs.tar.walker import Damage, Walker
from tamis.pipeline.inputs.tar.webdataset import META_SUFFIX, group
from tamis.pipeline.store import storage

LOOK_BYTES = (256 << 10, 4 << 20)
"""Bytes of a tar that are read to learn its columns; the second where the first have no json member."""


class Tar(JsonRows):
    """A row lies where its members do; the json member of each stands in the table, as text."""

    endings = (".tar",)
    values_in_table = True

    def outline(self, file: InputFile) -> Outline:
        """Nothing: a tar has no list of what is in it."""
        return Outline(refused=json_rows.refused(file))

    def columns(self, file: InputFile) -> columns.Columns:
        """The keys of the first json members."""
        size = storage.stat(file.path).size
        for limit in LOOK_BYTES:
            (start,) = storage.read_blocks(file.path, [(0, min(limit, size))])
            types = columns.of_json(_fields(start))
            if types or limit >= size:
                break
        return partitions.known(file, types)

    def walk(
        self, file: InputFile, options: IngestOptions, totals: FileTotals
    ) -> Iterator[Section]:
        """Every byte is read once."""
        yield Section(0, rows(file, options, totals))

    def pictures(self, file: InputFile, rows: pa.Table) -> Iterator[bytes]:
        """By ranges of bytes."""
        return fetch.pictures(file, rows)

    def members(self, file: InputFile, rows: pa.Table) -> Iterator[Sample]:
        """Whatever stands under the key."""
        return fetch.members(file, rows)

    def mend(self, file: InputFile, rows: pa.Table) -> str | None:
        """The command that sorts it."""
        return torn.mend(file, rows)

    def where(self, read: Mapping[str, Any]) -> str | None:
        """The picture's first byte."""
        return f"byte {read['image_offset']:,}" if "image_offset" in read else None


def _fields(start: Buffer) -> Iterator[dict[str, Any]]:
    """The json members in the first bytes of a tar."""
    for sample in group(Walker(io.BytesIO(start))):
        if not isinstance(sample, Damage):
            meta = sample.members.get(META_SUFFIX)
            yield read_json(meta, IngestOptions().max_meta_bytes)[0]


TAR = Tar()
