"""Parquet files, read in the thread that asks.

Arrow's own read-ahead leaves Python's buffers in its threads; if one lets go of them as Python ends, the process aborts
with its work done. So nothing else here opens a parquet file for reading.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tamis.pipeline.store.objects import TableObject
from tamis.pipeline.store.ranges import merged
from tamis.pipeline.store.recent import Recent

TAIL = 1 << 16
"""Bytes at the end of a file that are read first: most footers are no longer."""

MAGIC = b"PAR1"

FOOTER_BYTES = 8 << 20
"""Bytes of the footers that ``footer`` keeps parsed."""

_parsed: Recent[bytes, pq.FileMetaData] = Recent(FOOTER_BYTES, lambda one: one.serialized_size)
"""By the digest of their bytes: a file that was written anew is never read by the footer of the earlier one."""

_parsing = threading.Lock()


def footer(raw: BinaryIO) -> pq.FileMetaData:
    """The footer of a file of which few of many row groups are read: to parse it again would take longer than those.

    Raises:
        OSError, pa.ArrowException: it is damaged.
    """
    end = raw.seek(0, os.SEEK_END)
    raw.seek(max(0, end - TAIL))
    data = raw.read(TAIL)
    size = int.from_bytes(data[-8:-4], "little") + 8  # behind it are its length and the magic
    if not data.endswith(MAGIC) or size > end:
        return pq.read_metadata(raw)  # says what is damaged
    if size > len(data):
        raw.seek(end - size)
        data = raw.read(size)
    digest = xxhash.xxh3_128_digest(data[-size:])
    with _parsing:
        found = _parsed.get(digest)
        if found is None:
            found = pq.read_metadata(pa.BufferReader(data[-size:]))
            _parsed.keep(digest, found)
    return found


class ParquetFile(pq.ParquetFile):  # type: ignore[misc]  # pyarrow is untyped
    """A reader of ``raw``, which stays the caller's to close. Page checksums are verified, where there are any.

    ``buffer_size``: bytes of a column that are read at a time; 0 for a whole column of a row group.
    """

    def __init__(
        self,
        raw: BinaryIO,
        metadata: pq.FileMetaData | None = None,
        buffer_size: int = 0,
        read_dictionary: Sequence[str] | None = None,
    ) -> None:
        self._raw = raw
        super().__init__(
            raw,
            metadata=metadata,
            buffer_size=buffer_size,
            read_dictionary=read_dictionary,
            pre_buffer=False,
            page_checksum_verification=True,
        )

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows."""
        return self.read_row_groups(range(self.num_row_groups), columns)

    def read_row_group(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of one row group."""
        return self.read_row_groups([number], columns)

    def read_row_groups(
        self, numbers: Sequence[int], columns: Sequence[str] | None = None
    ) -> pa.Table:
        """The rows of several row groups, in the order of ``numbers``."""
        if isinstance(self._raw, TableObject):
            blocks, _ = merged(column_ranges(self.metadata, numbers, columns))
            self._raw.fetch([(offset, size) for offset, size in blocks.tolist()])
        return super().read_row_groups(
            list(numbers), None if columns is None else list(columns), use_threads=False
        )


def column_ranges(
    metadata: pq.FileMetaData, groups: Sequence[int], columns: Sequence[str] | None
) -> list[tuple[int, int]]:
    """Offset and size in bytes of each column chunk that a read of ``columns`` (fields: ``image.path``) takes."""
    ranges: list[tuple[int, int]] = []
    for group in groups:
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            chunk = row_group.column(number)
            path = f"{chunk.path_in_schema}."
            if columns is None or any(path.startswith(f"{column}.") for column in columns):
                first = chunk.dictionary_page_offset or chunk.data_page_offset
                ranges.append(
                    (min(first, chunk.data_page_offset), max(0, chunk.total_compressed_size))
                )
    return ranges
