"""A bracket that nothing closes in a JSON list costs its own row, however much of the list stands behind it."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions
from tamis.pipeline.inputs.table import rows as table_rows
from tamis.pipeline.inputs.table.syntax import JsonList
from tamis.pipeline.store import storage
from tamis.schemas.job import Input
from tests.inputs.test_json_lists import read
from tests.inputs.test_table import rows_of

LIMIT = 2_000


def flat(number: int) -> dict[str, Any]:
    return {"url": f"http://h/{number}", "caption": 'é "," [{', "tags": [{"n": 1}, {"n": number}]}


def with_parts(number: int) -> dict[str, Any]:
    """A row in which other objects begin with the same key."""
    parts = [{"id": part, "box": [1, 2, part]} for part in range(9)]
    return {"id": number, "caption": f"caption {number}", "parts": parts}


def with_few_keys(number: int) -> dict[str, Any]:
    row: dict[str, Any] = {"url": f"http://h/{number}", "size": 3, "tags": [1, 2]}
    return row if number % 3 else {**row, "caption": "a", "width": 3}


ROWS = {"flat": flat, "with parts": with_parts, "with few keys": with_few_keys}


def opened(row: dict[str, Any]) -> str:
    """A row that ends with its last list's last value: `]}` is missing."""
    row = {name: row[name] for name in sorted(row, key=lambda name: isinstance(row[name], list))}
    return json.dumps(row)[:-2]


@given(
    st.sampled_from([*ROWS.values()]),
    st.integers(1, 120),
    st.sets(st.integers(0, 120), min_size=1, max_size=12),
    st.sampled_from([",", ",\n", " , \n "]),
    st.sampled_from(["]", "", "]\n"]),
    st.integers(30, 500),
)
def test_no_other_row_is_lost_and_none_is_made(
    row: Any, count: int, broken: set[int], separator: str, end: str, block: int
) -> None:
    texts = [opened(row(i)) if i in broken else json.dumps(row(i)) for i in range(count)]
    data = f"[{separator.join(texts)}{end}".encode()
    found = read(data, block, LIMIT)
    assert all(data[r.offset : r.offset + r.size] == r.data for r in found)
    assert [r.data.decode().strip().rstrip("]").strip() for r in found if r.data is not None] == [
        text.strip().rstrip("]").strip() for text in texts
    ]


def test_each_row_may_be_so(tmp_path: Path) -> None:
    texts = [opened(flat(number)) for number in range(2_000)]
    data = f"[{','.join(texts)}]"
    assert [record.size for record in read(data.encode(), 500, LIMIT)][:-1] == [
        len(text.encode()) for text in texts[:-1]
    ]
    (tmp_path / "x.json").write_text(f"[{','.join(texts[:20])}]")
    assert {row["message"] for row in rows_of(tmp_path / "x.json")[:-1]} == {
        "nothing closes a bracket in it: write the missing one before the next object"
    }


@pytest.mark.parametrize("cut", range(5, 400, 7))
def test_a_list_that_is_cut_has_no_rows_of_what_is_inside_the_last(cut: int) -> None:
    texts = [json.dumps(with_parts(number)) for number in range(40)]
    data = f"[{','.join(texts)}]".encode()[:-cut]
    found = read(data, 100, LIMIT)
    whole = [text for text in texts if f"{text},".encode() in data]
    assert [record.data for record in found][: len(whole)] == [text.encode() for text in whole]
    assert len(found) - len(whole) <= 1


def test_bytes_that_are_read_twice_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [opened(flat(i)) if i in (3, 500) else json.dumps(flat(i)) for i in range(2_000)]
    data = f"[{','.join(texts)}]\n  ".encode()
    (tmp_path / "x.json").write_bytes(data)
    (file,) = input_files(Input(path=(f"{tmp_path}/x.json",)))
    monkeypatch.setattr(storage, "READ_BLOCK", 1_000)
    totals = FileTotals()
    table = table_rows.Table(file, JsonList(), None, IngestOptions(max_meta_bytes=LIMIT))
    assert len(list(table_rows.rows(table, totals))) == 2_000
    assert (totals.size, totals.sha256) == (len(data), hashlib.sha256(data).digest())


def test_an_object_inside_of_the_first_row_is_no_row() -> None:
    rows = ['{"text": "a", "v": [1, {"text": "x"}, 2', '{"text": "b", "v": [1]}']
    found = read(f"[{', '.join(rows)}]".encode(), 50, LIMIT)
    assert [record.data for record in found] == [row.encode() for row in rows]


def test_a_long_value_is_one_where_its_brackets_are_closed() -> None:
    long = {**flat(1), "tags": [flat(number) for number in range(200)]}
    rows = [flat(0), long, flat(2)]
    found = read(json.dumps(rows).encode(), 100, LIMIT)
    assert [record.data is None for record in found] == [False, True, False]
    assert io.BytesIO(json.dumps(long).encode()).getbuffer().nbytes == found[1].size
