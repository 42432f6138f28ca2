"""The way back from rows of the ingest table to their files: pictures, members, and the input's own columns.

Rows are of one part, and those of the living alone; what comes back is in their order, a bounded chunk at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from tamis.pipeline.inputs.formats import Sample, format_of
from tamis.pipeline.inputs.input_files import InputFile

PICTURE_COLUMNS = ["image_offset", "image_size", "sha256", "row_group", "group_row"]
MEMBER_COLUMNS = [*PICTURE_COLUMNS, "members", "text", "image_format", "url"]
VALUE_COLUMNS = ["meta", "row_group", "group_row"]


def pictures(source: InputFile, rows: pa.Table) -> Iterator[bytes]:
    """The bytes of each row's picture. ``rows`` has PICTURE_COLUMNS.

    Raises:
        InputError: the file no longer holds what ingest found in it.
    """
    return format_of(source).pictures(source, rows)


def members(source: InputFile, rows: pa.Table) -> Iterator[Sample]:
    """All members of each row's sample, with their original bytes. ``rows`` has MEMBER_COLUMNS.

    Raises:
        InputError: as ``pictures``.
    """
    return format_of(source).members(source, rows)


def values(
    source: InputFile, rows: pa.Table, wanted: Mapping[str, pa.DataType]
) -> dict[str, pa.Array]:
    """The values of some of the input's own columns, each of the type that is wanted. ``rows`` has VALUE_COLUMNS.

    Raises:
        InputError: the file lacks a column or a row, or a column holds something else.
    """
    return format_of(source).values(source, rows, wanted)
