"""The objects of a JSON list, each at its place in the file: judged by `json` itself, with blocks of any size."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs.json_files import holds_rows, is_list
from tamis.pipeline.inputs.table import arrays
from tamis.pipeline.inputs.table.records import Record
from tamis.pipeline.store import storage

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.text('[]{},"\\', max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def read(data: bytes, block: int, limit: int = 1 << 20) -> list[Record]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "READ_BLOCK", block)
        return list(arrays.values(io.BytesIO(data), limit))


@given(
    st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=5),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.integers(1, 40),
)
def test_the_values_are_those_of_json(
    rows: list[Any], indent: int | None, ascii_only: bool, block: int
) -> None:
    data = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    found = read(data, block)
    assert [json.loads(record.data or b"") for record in found] == rows
    for record in found:
        assert data[record.offset : record.offset + record.size] == record.data
    marked = read(b"\xef\xbb\xbf\n " + data + b"\n", block)
    assert [(r.offset - 5, r.data) for r in marked] == [(r.offset, r.data) for r in found]


def test_a_value_beyond_the_limit_is_told_by_its_place() -> None:
    long, short = json.dumps({"a": "x" * 100}), json.dumps({"a": 1})
    data = f"[{long},{short}]".encode()
    found = read(data, 7, limit=50)
    assert [(r.offset, r.size, r.data) for r in found] == [
        (1, len(long), None),
        (2 + len(long), len(short), short.encode()),
    ]


@pytest.mark.parametrize("end", ["", ",", "}", "]]", " x"])
def test_what_is_no_list_costs_no_value_before_it(end: str) -> None:
    data = b'[{"a": 1}, {"a": 2}' + end.encode()
    found = [record.data for record in read(data, 5)]
    assert found[0] == b'{"a": 1}'
    assert found[1] in {b'{"a": 2}', b'{"a": 2} x'}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("[]", True),
        (" \n[{}]", True),
        ('{"a": 1}\n{"a": 2}', True),
        ('{"a": 1}\n', False),
        ('{\n "a": 1}', False),
        ('{"a": [\n1]}', False),
        ("", False),
    ],
)
def test_what_holds_rows(text: str, rows: bool) -> None:
    assert holds_rows(text.encode()) is rows


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b'[{"a": 1}]', True),
        (b"\xef\xbb\xbf [\n  {", True),
        (b"[]", True),
        (b"[", True),
        (b'["a": 1}\n{"a": 2}', False),
        (b'{"a": [{}]}', False),
        (b"", False),
    ],
)
def test_lines_of_which_the_first_is_damaged_are_no_list(start: bytes, expected: bool) -> None:
    assert is_list(start) is expected
