"""The index finds every name, whatever the number of files, and reads one row group to do so."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.results import ledger_index
from tamis.pipeline.store import storage

ROWS = 4096


def build(root: Path, names: list[str], buckets: int) -> None:
    """The index of names whose sids are their places, as the ledger writes it."""
    hashes = ledger_index.name_hashes(pa.array(names))
    sids = np.arange(len(names), dtype=np.int64)
    bucket = ledger_index.bucket_of(hashes, buckets)
    folder = root / ledger_index.FOLDER
    folder.mkdir()
    for number in range(buckets):
        mine = bucket == np.uint64(number)
        order = np.lexsort((sids[mine], hashes[mine]))
        table = pa.table({"hash": hashes[mine][order], "sid": sids[mine][order]})
        pq.write_table(table, folder / f"{number:05d}.parquet", row_group_size=ROWS)


@pytest.mark.parametrize("buckets", [1, 3])
def test_every_name_is_found(tmp_path: Path, buckets: int) -> None:
    names = [f"größe-{number % 900}" for number in range(1000)]
    build(tmp_path, names, buckets)
    for name in {*names[:50], *names[850:]}:
        wanted = [sid for sid, other in enumerate(names) if other == name]
        assert ledger_index.find(str(tmp_path), name, buckets) == wanted
    assert ledger_index.find(str(tmp_path), "nobody", buckets) == []


def test_a_name_that_fills_several_row_groups_is_found_whole(tmp_path: Path) -> None:
    build(tmp_path, ["same"] * (3 * ROWS) + ["other"], 1)
    assert ledger_index.find(str(tmp_path), "same", 1) == list(range(3 * ROWS))


def test_an_index_without_entries(tmp_path: Path) -> None:
    build(tmp_path, [], 1)
    assert ledger_index.find(str(tmp_path), "nobody", 1) == []


def test_a_bucket_is_the_same_for_one_hash_and_for_many() -> None:
    hashes = [0, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    for buckets in (1, 2, 7, 1000):
        many = ledger_index.bucket_of(np.array(hashes, dtype=np.uint64), buckets)
        assert many.tolist() == [ledger_index.bucket_of(one, buckets) for one in hashes]
        assert max(many.tolist()) == buckets - 1


class _Counted:
    """A file that counts what is read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.bytes = file, 0
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.bytes += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> "_Counted":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def test_it_reads_one_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"name-{number}" for number in range(40 * ROWS)]
    build(tmp_path, names, 1)
    path = tmp_path / ledger_index.FOLDER / "00000.parquet"
    metadata = pq.read_metadata(path)
    group = max(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
    opened: list[_Counted] = []

    def counting(path: str) -> _Counted:
        opened.append(_Counted(open(path, "rb")))  # noqa: SIM115 - the caller closes it
        return opened[-1]

    monkeypatch.setattr(storage, "open_table", counting)
    assert ledger_index.find(str(tmp_path), "name-777", 1) == [777]
    (file,) = opened
    assert group * 0.5 < file.bytes < group + metadata.serialized_size + 128 * 1024
    assert file.bytes < path.stat().st_size / 5
