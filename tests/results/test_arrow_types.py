"""Columns of every type that parquet holds come out typed and valued as they were, in parquet and beside tars."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.running import make_plan, picture, run_here

MOMENT = datetime(2024, 2, 29, 23, 59, 58, 123456)  # noqa: DTZ001 - of no time zone, as some columns are
ROWS = 3

TYPES: dict[str, tuple[pa.DataType, Any]] = {
    **{f"int{bits}": (getattr(pa, f"int{bits}")(), -(2 ** (bits - 1))) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (getattr(pa, f"uint{bits}")(), 2**bits - 1) for bits in (8, 16, 32, 64)},
    "float16": (pa.float16(), np.float16(1.5)),
    "float32": (pa.float32(), 0.1),
    "float64": (pa.float64(), float("inf")),
    "bool": (pa.bool_(), True),
    "decimal": (pa.decimal128(38, 6), Decimal("1234567890.123456")),
    "long decimal": (pa.decimal256(60, 2), Decimal("12345678901234567890123456789012345678901234567890.12")),
    "word": (pa.string(), "größer\0"),
    "long text": (pa.large_string(), ""),
    "text view": (pa.string_view(), "one that is longer than twelve"),
    "raw": (pa.binary(), b"\xff\0"),
    "long raw": (pa.large_binary(), b""),
    "raw view": (pa.binary_view(), b"\xfe" * 20),
    "sixteen raw": (pa.binary(16), bytes(range(16))),
    "day": (pa.date32(), date(1969, 12, 31)),
    "day in milliseconds": (pa.date64(), date(2024, 2, 29)),
    "time": (pa.time32("ms"), time(1, 2, 3, 4000)),
    "fine time": (pa.time64("us"), time(1, 2, 3, 4)),
    "moment": (pa.timestamp("us"), MOMENT),
    "moment in seconds": (pa.timestamp("ms"), MOMENT.replace(microsecond=0)),
    "finest moment": (pa.timestamp("ns"), MOMENT),
    "moment of a zone": (pa.timestamp("us", "Europe/Paris"), MOMENT.replace(tzinfo=UTC)),
    "duration": (pa.duration("us"), timedelta(days=-1, microseconds=1)),
    "categories": (pa.dictionary(pa.int32(), pa.string()), "CC-BY"),
    "list": (pa.list_(pa.int32()), [1, None, 3]),
    "long list": (pa.large_list(pa.string()), ["a"]),
    "boxes": (pa.list_(pa.list_(pa.float32(), 4)), [[0.5, 0.25, 1.0, 1.0]]),
    "vector": (pa.list_(pa.float16(), 2), [np.float16(1), np.float16(2)]),
    "object": (pa.struct([("a", pa.int8()), ("b", pa.struct([("c", pa.int8())]))]), {"a": 1, "b": {"c": None}}),
    "objects": (pa.list_(pa.struct([("text", pa.string()), ("score", pa.float64())])), [{"text": "x", "score": 0.5}]),
    "map": (pa.map_(pa.string(), pa.int64()), [("a", 1), ("b", None)]),
    "nothing": (pa.null(), None),
}  # fmt: skip
"""Name of a column -> its type, and a value."""


def table(**more: Any) -> pa.Table:
    """A value, a null and the value again in each column."""
    columns = {name: pa.array([value, None, value], kind) for name, (kind, value) in TYPES.items()}
    return pa.table({"text": [f"caption {i}" for i in range(ROWS)], **columns, **more})


@pytest.mark.parametrize("files", [1, 2])
def test_metadata_of_every_type(tmp_path: Path, files: int) -> None:
    (tmp_path / "in").mkdir()
    for i in range(files):
        pq.write_table(
            table(url=[f"http://x/{i}/{n}" for n in range(ROWS)]), tmp_path / f"in/{i}.parquet"
        )
    run_here(
        make_plan(tmp_path / "run", tmp_path / "in/*.parquet", "- write: {samples_per_shard: 2}")
    )
    given = pa.concat_tables([pq.read_table(tmp_path / f"in/{i}.parquet") for i in range(files)])
    shards = sorted((tmp_path / "run/shards").glob("*.parquet"))
    result = pa.concat_tables([pq.read_table(shard) for shard in shards])
    for name in TYPES:
        assert result.schema.field(name).type == given.schema.field(name).type, name
        assert result[name].to_pylist() == given[name].to_pylist(), name


@pytest.mark.parametrize("written", ["parquet", "webdataset"])
def test_pictures_with_columns_of_every_type(tmp_path: Path, written: str) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(table(image=[picture(i) for i in range(ROWS)]), tmp_path / "in/0.parquet")
    step = f"- write: {{format: {written}}}"
    run_here(make_plan(tmp_path / "run", tmp_path / "in/*.parquet", step))
    given = pq.read_table(tmp_path / "in/0.parquet")
    result = pq.read_table(tmp_path / "run/shards/00000.parquet")
    for name in TYPES:
        assert result.schema.field(name).type == given.schema.field(name).type, name
        assert result[name].to_pylist() == given[name].to_pylist(), name
    if written == "webdataset":
        with tarfile.open(tmp_path / "run/shards/00000.tar") as tar:
            member = tar.extractfile("000000000.json")
            assert member is not None
            fields = json.load(member)
        told = {name for name in TYPES if "raw" not in name and name not in {"nothing", "float64"}}
        assert told <= fields.keys()
        assert (fields["uint64"], fields["moment"]) == (2**64 - 1, MOMENT.isoformat())
