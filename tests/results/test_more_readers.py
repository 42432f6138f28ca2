"""DataComp's rule for picking samples by ``subset.npy``, and the tables of a result in polars, pandas and DuckDB."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.results.test_arrow_types import ROWS, table
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar

COUNT, KEPT = 40, 25


def picked(subset: Path, tars: list[Path]) -> list[str]:
    """The uids that DataComp's resharder takes: those of json members whose two halves a binary search finds."""
    wanted = np.load(subset, mmap_mode="r")
    assert wanted.dtype == np.dtype("u8,u8")
    found = []
    for uid in uids(tars):
        halves = np.array([(int(uid[:16], 16), int(uid[16:], 16))], np.dtype("u8,u8"))
        first, behind = (
            np.searchsorted(wanted, halves, side=side)[0] for side in ("left", "right")
        )
        found += [uid] * (behind - first)
    return sorted(found)


def uids(tars: list[Path]) -> Iterator[str]:
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                data = tar.extractfile(member)
                if member.name.endswith(".json") and data is not None:
                    yield json.load(io.BytesIO(data.read()))["uid"]


def test_datacomps_rule_picks_what_was_kept(tmp_path: Path) -> None:
    draw = random.Random(0)
    named = [f"{draw.getrandbits(128):032x}" for _ in range(COUNT)]
    named[:2] = ["0" * 32, "f" * 32]
    (tmp_path / "in").mkdir()
    for number in range(2):
        samples = [
            Sample(f"{i:04}", picture(i), f"caption {i}", {"uid": named[i]})
            for i in range(number, COUNT, 2)
        ]
        write_tar(tmp_path / f"in/{number}.tar", samples)
    run_here(
        make_plan(tmp_path / "run", tmp_path / "in/*.tar", f"- random: {{keep: {KEPT}}}\n- write")
    )
    kept = sorted(row["uid"] for row in ledger(tmp_path / "run") if row["kept"])
    assert len(kept) == KEPT
    subset = tmp_path / "run/subset.npy"
    assert picked(subset, sorted((tmp_path / "in").glob("*.tar"))) == kept
    assert picked(subset, sorted((tmp_path / "run/shards").glob("*.tar"))) == kept


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parquet file of a result with pictures in a column, and none that some reader has no type or package for."""
    folder: Path = tmp_path_factory.mktemp("readers")
    whole = table(image=[picture(i) for i in range(ROWS)])
    pq.write_table(whole.drop_columns(["long decimal", "moment of a zone"]), folder / "0.parquet")
    run_here(make_plan(folder / "run", folder / "0.parquet", "- write: {format: parquet}"))
    return folder / "run/shards/00000.parquet"


PLAIN = [
    "int64",
    "uint64",
    "float64",
    "bool",
    "word",
    "long text",
    "text view",
    "raw",
    "list",
    "objects",
]


def test_pandas(shard: Path) -> None:
    read = pd.read_parquet(shard, columns=["image", "uid", *PLAIN], dtype_backend="pyarrow")
    given = pq.read_table(shard)
    for name in read:
        there = [value for value in given[name].to_pylist() if value is not None]
        assert [
            value
            for value in read[name].tolist()
            if not pd.api.types.is_scalar(value) or not pd.isna(value)
        ] == there, name


def test_polars(shard: Path) -> None:
    polars = pytest.importorskip("polars")
    read, given = polars.read_parquet(shard), pq.read_table(shard)
    assert read.columns == given.column_names
    for name in ("image", "uid", *PLAIN, "decimal", "day", "moment", "object", "boxes"):
        assert read[name].to_list() == given[name].to_pylist(), name


def test_duckdb(shard: Path) -> None:
    given = pq.read_table(shard)
    with duckdb.connect() as connection:
        read = connection.execute(f"FROM '{shard}'")
        names = [one[0] for one in read.description]
        rows = read.fetchall()
    assert names == given.column_names
    for name in ("image", "uid", *PLAIN, "decimal", "day", "object"):
        assert [row[names.index(name)] for row in rows] == given[name].to_pylist(), name
