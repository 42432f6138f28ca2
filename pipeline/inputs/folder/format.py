"""A folder of single pictures, with captions and facts beside them, as an input format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs import columns, json_rows, partitions
from tamis.pipeline.inputs.folder.listing import Reader, places
from tamis.pipeline.inputs.folder.rows import rows
from tamis.pipeline.inputs.formats import Outline, Sample, check_same
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.json_rows import JsonRows
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions, Section
from tamis.pipeline.inputs.suffixes import META
from tamis.pipeline.inputs.tar.fetch import as_read
from tamis.pipeline.store import storage

LOOKED_AT = 100
"""Json files that are read to learn the columns."""


class Folder(JsonRows):
    """A row lies where its files do among the bytes of all: ``folder.listing``."""

    endings = ("/",)
    values_in_table = True
    version = 2

    def outline(self, file: InputFile) -> Outline:
        """Nothing but what the job cannot name."""
        return Outline(refused=json_rows.refused(file))

    def columns(self, file: InputFile) -> columns.Columns:
        """The keys of the first json files."""
        found = (place.file.path for place in places(file) if place.suffix == META)
        texts = (storage.read_bytes(path).decode("utf-8", "replace") for path in found)
        objects = (json_rows.parsed(text) for text in islice(texts, LOOKED_AT))
        return partitions.known(file, columns.of_json(objects))

    def walk(
        self, file: InputFile, options: IngestOptions, totals: FileTotals
    ) -> Iterator[Section]:
        """A sample after the other."""
        yield Section(0, rows(file, options, totals))

    def blocks(self, file: InputFile) -> Iterator[bytes]:
        """Those of all files of samples, in their order."""
        for place in places(file):
            with storage.open_read(place.file.path) as stream:
                while block := stream.read(storage.READ_BLOCK):
                    yield block

    def pictures(self, file: InputFile, rows: pa.Table) -> Iterator[bytes]:
        """A file at a time."""
        reader = Reader(file)
        spans = (rows[name].to_pylist() for name in ("image_offset", "image_size", "sha256"))
        for offset, size, known in zip(*spans, strict=True):
            data = reader.read(offset, size)
            check_same(file, [data], [known])
            yield data

    def members(self, file: InputFile, rows: pa.Table) -> Iterator[Sample]:
        """All files of a sample, under their endings."""
        reader = Reader(file)
        names = ("members", "image_offset", "sha256", "text", "meta", "image_format")
        for members, offset, known, *noted in zip(
            *(rows[n].to_pylist() for n in names), strict=True
        ):
            sample: Sample = [
                (one["suffix"], reader.read(one["offset"], one["size"])) for one in members
            ]
            picture = next(
                i for i, one in enumerate(members) if one["offset"] == offset and one["size"]
            )
            check_same(file, [sample[picture][1]], [known])
            yield as_read(file, sample, picture, *noted)

    def where(self, read: Mapping[str, Any]) -> str | None:
        """The picture's name but for its ending."""
        return str(read["key"]) if "key" in read else None


FOLDER = Folder()
