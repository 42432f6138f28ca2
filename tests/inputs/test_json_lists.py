"""The objects of a JSON list, each at its place in the file: judged by `json` itself, with blocks of any size."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs.json_files import holds_rows, is_list
from tamis.pipeline.inputs.table import arrays
from tamis.pipeline.inputs.table.records import Record
from tamis.pipeline.store import storage
from tests.inputs.test_table import rows_of

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


ROWS: list[dict[str, Any]] = [
    {"url": f"http://h/{i}", "tags": [{"n": i}, {"n": 2}], "caption": f'é "{i}" }}, {{'}
    for i in range(9)
]
DAMAGED = json.dumps(ROWS[3])


def damages() -> dict[str, str]:
    """A row with one quote, brace or bracket less or more, or the end of it missing."""
    found = {f"cut at {at}": DAMAGED[:at] for at in range(1, len(DAMAGED))}
    for at, char in enumerate(DAMAGED):
        if char in '"{}[]':
            found[f"no {char} at {at}"] = DAMAGED[:at] + DAMAGED[at + 1 :]
            found[f"{char} twice at {at}"] = DAMAGED[:at] + char + DAMAGED[at:]
    return found


@pytest.mark.parametrize("separator", [",", ",\n", " , \n  "])
@pytest.mark.parametrize("damaged", damages().values(), ids=damages())
def test_a_damaged_value_costs_no_other(separator: str, damaged: str) -> None:
    texts = [json.dumps(row) for row in ROWS]
    texts[3] = damaged
    data = f"[{separator.join(texts)}]".encode()
    found = read(data, 50)
    sound = [record.data.strip() for record in found if record.data is not None]
    for number, text in enumerate(texts):
        assert number == 3 or text.encode() in sound
    places = [0, *(place for r in found for place in (r.offset, r.offset + r.size)), len(data)]
    assert places == sorted(places)
    assert all(data[r.offset : r.offset + r.size] == r.data for r in found)
    between = [data[end:start] for end, start in zip(places[::2], places[1::2], strict=True)]
    assert not b"".join(between).strip(b" \n,[]}")


def test_a_bracket_too_many_does_not_end_the_list() -> None:
    data = b'[{"a": 1}], {"a": 2, "b": [3]}, {"a": 4}]\n[{"a": 5}]'
    texts = [record.data for record in read(data, 9)]
    assert texts == [b'{"a": 1}', b'{"a": 2, "b": [3]}', b'{"a": 4}', b'{"a": 5}']


@pytest.mark.parametrize("size", [100, 10_000, 200_000])
def test_a_value_beyond_the_limit_with_objects_like_it_inside_is_one(size: int) -> None:
    tree = {"id": 1, "below": [{"id": number, "below": []} for number in range(size // 20)]}
    rows = [{"id": 0}, tree, {"id": 2}]
    found = read(json.dumps(rows).encode(), 1 << 16, limit=5_000)
    assert len(found) == 3
    assert (found[0].data, found[2].data) == (b'{"id": 0}', b'{"id": 2}')


def test_quotes_that_nothing_closes_cost_their_own_rows(tmp_path: Path) -> None:
    rows = [json.dumps({"url": f"http://h/{i}", "caption": f"caption {i}"}) for i in range(2000)]
    texts = [row[:-2] + "}" if number % 3 == 1 else row for number, row in enumerate(rows)]
    path = tmp_path / "x.json"
    path.write_text(f"[{','.join(texts)}]")
    found = rows_of(path)
    assert [row["text"] for row in found] == [
        None if number % 3 == 1 else f"caption {number}" for number in range(2000)
    ]
    assert found[1]["message"] == "nothing closes the quote at character 34"


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
