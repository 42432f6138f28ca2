"""Parquet files are read in the asking thread alone, and from a store by few requests."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tests.support.object_store as stores
from tamis.pipeline.store import objects, parquet, storage
from tamis.pipeline.store.parquet import ParquetFile, column_ranges
from tamis.pipeline.store.recent import Recent
from tests.support.object_store import BUCKET, ObjectStore

GROUP = 20_000
COLUMNS = [None, ["b"], ["a", "c"], ["c.x"], ["c.y", "b"], []]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    draw = np.random.default_rng(5)
    rows = 3 * GROUP
    nested = [{"x": int(k), "y": [str(k)] * (k % 3)} for k in draw.integers(0, 1000, rows)]
    return pa.table(
        {"a": draw.random(rows), "ab": draw.random(rows), "b": draw.random(rows), "c": nested}
    )


@pytest.fixture(scope="module")
def data(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=GROUP, write_page_checksum=True)
    return out.getvalue()


class Listening(io.BytesIO):
    """Notes which threads read it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.threads: set[int] = set()

    def read(self, size: int | None = -1) -> bytes:
        self.threads.add(threading.get_ident())
        return super().read(size)

    def readinto(self, buffer: Any) -> int:
        self.threads.add(threading.get_ident())
        return super().readinto(buffer)


@pytest.mark.parametrize("columns", COLUMNS)
def test_no_thread_of_arrow_reads(data: bytes, table: pa.Table, columns: list[str] | None) -> None:
    """One that still had a buffer as Python ended would abort the process."""
    raw = Listening(data)
    with ParquetFile(raw) as file:
        file.read(columns)
        file.read_row_group(1, columns)
        list(file.iter_batches(1000, columns=columns, use_threads=False))
    assert raw.threads == {threading.get_ident()}


@pytest.fixture(scope="module")
def store(data: bytes) -> Iterator[ObjectStore]:
    with stores.object_store() as made:
        stores.put(made, "data.parquet", data)
        yield made


@pytest.mark.parametrize(("columns", "groups"), list(product(COLUMNS, [[0], [2, 1], [0, 1, 2]])))
def test_of_a_store_it_takes_one_request_a_block(
    columns: list[str] | None,
    groups: list[int],
    store: ObjectStore,
    data: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    assert len(data) > objects.WHOLE
    with (
        storage.open_table(f"s3://{BUCKET}/data.parquet", len(data)) as raw,
        ParquetFile(raw) as file,
    ):
        before = len(store.reads("data.parquet"))
        found = file.read_row_groups(groups, columns)
        requests = len(store.reads("data.parquet")) - before
    assert found.equals(pq.ParquetFile(io.BytesIO(data)).read_row_groups(groups, columns))
    assert requests == blocks_by_hand(data, groups, columns)


def blocks_by_hand(data: bytes, groups: list[int], columns: list[str] | None) -> int:
    """Runs of ranges without a gap of more than 256 kB between them."""
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    count, end = 0, -(1 << 30)
    for offset, size in sorted(column_ranges(metadata, groups, columns)):
        count += offset > end + (256 << 10)
        end = max(end, offset + size)
    return count


def test_ranges_are_those_of_whole_columns_and_of_fields(data: bytes) -> None:
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    leaves = {metadata.row_group(0).column(n).path_in_schema: n for n in range(5)}
    assert list(leaves) == ["a", "ab", "b", "c.x", "c.y.list.element"]
    every = column_ranges(metadata, [0], None)
    assert [every[n] for n in (0, 3, 4)] == column_ranges(metadata, [0], ["c", "a"])
    assert [every[4]] == column_ranges(metadata, [0], ["c.y"])
    for (offset, size), (following, _) in pairwise(every):
        assert offset + size == following


def groups_of(rows: int, groups: int) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": range(rows)}), out, row_group_size=rows // groups)
    return out.getvalue()


def test_a_footer_is_that_of_its_file_and_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [groups_of(rows, groups) for rows, groups in [(4, 1), (4, 2), (8, 2), (6000, 2000)]]
    assert pq.read_metadata(io.BytesIO(files[-1])).serialized_size > parquet.TAIL
    parsed = Recent[bytes, pq.FileMetaData](parquet.FOOTER_BYTES, lambda one: one.serialized_size)
    monkeypatch.setattr(parquet, "_parsed", parsed)
    found = [parquet.footer(io.BytesIO(data)) for data in files]
    assert found == [pq.read_metadata(io.BytesIO(data)) for data in files]
    assert parquet.footer(io.BytesIO(files[0])) is found[0]
    parsed.most = found[-1].serialized_size
    again = parquet.footer(io.BytesIO(files[1]))
    assert again is found[1]
    parsed.keep(b"another", found[0])
    assert parquet.footer(io.BytesIO(files[-1])) is not found[-1]
    assert len(parsed) == 1


@pytest.mark.parametrize(
    "damage", [b"", b"PAR1", b"none", b"\xff\xff\xff\x7fPAR1", b"\0\0\0\0PAR1"]
)
def test_a_damaged_footer_is_refused_as_pyarrow_refuses_it(damage: bytes) -> None:
    for data in (damage, groups_of(4, 2)[:-8] + damage):
        with pytest.raises((OSError, pa.ArrowException)):
            pq.read_metadata(io.BytesIO(data))
        with pytest.raises((OSError, pa.ArrowException)):
            parquet.footer(io.BytesIO(data))
