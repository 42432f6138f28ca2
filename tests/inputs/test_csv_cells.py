"""Cells of CSV in the result: numbers and text say what stood there, however parts are cut."""

from __future__ import annotations

import json
import tarfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs import own_columns, own_types
from tamis.pipeline.inputs.table import cells
from tests.support.running import make_plan, picture, run_here

CELLS = st.one_of(
    st.none(),
    st.integers(-(2**65), 2**65).map(str),
    st.integers(-(10**19), 10**19).map(str),
    st.integers(0, 99).map(lambda n: f"{n:03}"),
    st.integers(0, 99).map(lambda n: f"+{n}"),
    st.floats().map(repr),
    st.floats(0, 1).map(lambda x: f"{x:.2f}"),
    st.floats(0, 1).map(lambda x: f"{x:.25f}"),
    st.decimals(allow_nan=False, places=3).map(str),
    st.sampled_from(["TRUE", "false", "True", "n/a", "1e5", "-0", "-0.0", "1_0", " 1", "1.", ".5"]),
    st.text(min_size=1, max_size=3),
)


@given(st.lists(CELLS, max_size=6), st.integers(0, 6))
def test_a_column_is_the_same_however_its_parts_are_cut(texts: list[str | None], cut: int) -> None:
    (whole,) = own_types.union([pa.schema([cells.field_of("x", texts)])])
    parts = [texts[:cut], texts[cut:]]
    schema = own_types.union(pa.schema([cells.field_of("x", part)]) for part in parts)
    assert schema.field("x").type == whole.type
    tables = [pa.table({"x": pa.array(part, pa.string())}) for part in parts]
    found = [v for t in tables for v in own_columns.fitted(t, schema)["x"].to_pylist()]
    assert len(found) == len(texts)
    for value, text in zip(found, texts, strict=True):
        if text is None:
            assert value is None
        elif isinstance(value, bool):
            assert text.lower() == str(value).lower()
        elif isinstance(value, int):
            assert str(value) == text
        elif isinstance(value, float):
            assert Decimal(repr(value)) == Decimal(text)
        else:
            assert value == text


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-2", "0"], pa.int64()),
        (["1500000000000000001", "9223372036854775807"], pa.int64()),
        (["9223372036854775808"], pa.string()),
        (["1500000000000000001", "0.5"], pa.string()),
        (["1", "0.5", "0.30"], pa.float64()),
        (["1e-05", "0.25"], pa.float64()),  # as Python writes small numbers
        (["1e5"], pa.string()),
        (["0.12345678901234567890"], pa.string()),
        (["+4915112345678"], pa.string()),
        (["007"], pa.string()),
        (["-0"], pa.string()),
        (["٣"], pa.string()),
        (["nan"], pa.string()),
        (["1e999"], pa.string()),
        (["TRUE", "false"], pa.bool_()),
        (["TRUE", "1"], pa.string()),
        ([None], pa.null()),
    ],
    ids=str,
)
def test_the_type_of_cells(texts: list[str | None], kind: pa.DataType) -> None:
    assert cells.field_of("x", texts).type == kind


def test_a_signal_reads_any_number() -> None:
    texts = ["1e5", "+3", "0.12345678901234567890", None]
    (kind,) = cells.looked([{"x": text} for text in texts]).values()
    assert kind == pa.float64()
    assert cells.array(texts, kind).to_pylist() == [1e5, 3.0, 0.12345678901234568, None]


LINES = [
    "file_name,caption,tweet,phone,ver,flag,whole,mixed",
    "0.png,2001,1500000000000000001,+4915112345678,1.10,TRUE,7,1500000000000000003",
    "1.png,2002,1500000000000000002,+4915112345679,2.00,FALSE,,0.5",
    "2.png,plain,1500000000000000003,unknown,beta,n/a,-8,2",
]
EXPECTED: list[dict[str, Any]] = [
    {"caption": "2001", "tweet": 1500000000000000001, "phone": "+4915112345678", "ver": "1.10"},
    {"caption": "2002", "tweet": 1500000000000000002, "phone": "+4915112345679", "ver": "2.00"},
    {"caption": "plain", "tweet": 1500000000000000003, "phone": "unknown", "ver": "beta"},
]
OTHERS: list[dict[str, Any]] = [
    {"flag": "TRUE", "whole": 7, "mixed": "1500000000000000003"},
    {"flag": "FALSE", "whole": None, "mixed": "0.5"},
    {"flag": "n/a", "whole": -8, "mixed": "2"},
]


@pytest.mark.parametrize("part_samples", [1, 2, 3])
def test_the_result_has_what_stood_in_the_cells(tmp_path: Path, part_samples: int) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    path = tmp_path / "x.csv"
    path.write_text("\n".join(LINES))
    run_here(make_plan(tmp_path / "run", path, "  - write", part_samples=part_samples))
    table = pq.read_table(tmp_path / "run/shards/00000.parquet")
    expected = [one | other for one, other in zip(EXPECTED, OTHERS, strict=True)]
    assert table.select([*expected[0]]).to_pylist() == expected
    assert "tamis_caption" not in table.column_names
    with tarfile.open(tmp_path / "run/shards/00000.tar") as tar:
        files = [tar.extractfile(one) for one in tar if one.name.endswith(".json")]
        objects = [json.loads(file.read()) for file in files if file is not None]
    assert objects == [
        {"file_name": f"{number}.png"} | {n: v for n, v in row.items() if v is not None}
        for number, row in enumerate(expected)
    ]


def test_captions_that_are_all_digits_stay_text_beside_their_column(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("url,caption\nhttp://h/0,2001\nhttp://h/1,2002\n")
    run_here(make_plan(tmp_path / "run", path, "  - write", part_samples=1))
    table = pq.read_table(tmp_path / "run/shards/00000.parquet")
    assert table["tamis_caption"].to_pylist() == ["2001", "2002"]
    assert table["caption"].to_pylist() == [2001, 2002]


@pytest.mark.parametrize("part_samples", [1, 2])
def test_a_column_without_a_name_has_that_of_its_place(tmp_path: Path, part_samples: int) -> None:
    path = tmp_path / "x.csv"
    path.write_text(",url,caption,,\n5,http://h/0,a dog,,\n6,http://h/1,a cat,x,\n")
    run_here(make_plan(tmp_path / "run", path, "  - write", part_samples=part_samples))
    table = pq.read_table(tmp_path / "run/shards/00000.parquet")
    assert table["Unnamed: 0"].to_pylist() == [5, 6]
    assert table["Unnamed: 3"].to_pylist() == [None, "x"]
    assert "Unnamed: 4" not in table.column_names  # it holds nothing: lines end in a comma
