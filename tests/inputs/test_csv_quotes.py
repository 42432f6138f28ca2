"""Quotes of CSV: what is well written is what Python's csv module reads; a stray quote costs no line but its own."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.inputs.table.records import MAX_LINES, Record
from tamis.pipeline.inputs.table.syntax import LIMIT, Csv
from tests.inputs.test_table import rows_of
from tests.support.running import ledger, make_plan, run_here

DELIMITERS = st.sampled_from(",;\t|")


def records_of(
    data: bytes, names: str, delimiter: str = ",", *, spaced: bool = False
) -> list[Record]:
    """The records below a header."""
    syntax = Csv(tuple(names), delimiter, spaced)
    return list(syntax.records(io.BytesIO(b"header\n" + data), LIMIT))


TABLES = st.integers(2, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.text('ab",;\t|\n\r é', max_size=6), min_size=width, max_size=width), max_size=6
    )
)


@given(TABLES, DELIMITERS, st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_what_is_well_written_is_what_pythons_csv_reads(
    rows: list[list[str]], delimiter: str, quoting: int
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows(rows)
    names = "wxyz"[: len(rows[0]) if rows else 2]
    found = records_of(out.getvalue().encode(), names, delimiter)
    syntax = Csv(tuple(names), delimiter)
    cells = [list(syntax.parse(record.data or b"").values()) for record in found]
    assert cells == [[cell or None for cell in row] for row in rows]


LINES = st.lists(st.text('a", ', max_size=8).map(lambda text: text + "\n"), max_size=8)


def brute_force(lines: list[str], width: int, *, spaced: bool) -> list[str]:
    """The records of lines: with the fewest lines that are one record, if it has so many cells; else a line alone."""
    if not lines:
        return []
    for count in range(1, len(lines) + 1):
        text = "".join(lines[:count])
        try:
            stream = io.StringIO(text, newline="")
            (cells,) = csv.reader(stream, strict=True, skipinitialspace=spaced)
        except csv.Error as error:
            if "unexpected end" in str(error):
                continue
            break
        if count == 1 or len(cells) == width:
            return [text, *brute_force(lines[count:], width, spaced=spaced)]
        break
    return [lines[0], *brute_force(lines[1:], width, spaced=spaced)]


@given(LINES, st.integers(1, 3), st.booleans())
def test_of_any_lines_none_is_swallowed(lines: list[str], width: int, spaced: bool) -> None:
    data = "".join(lines).encode()
    found = records_of(data, "xyz"[:width], spaced=spaced)
    expected = [text.encode() for text in brute_force(lines, width, spaced=spaced)]
    assert [record.data for record in found] == [text for text in expected if text.strip()]
    ends = [record.offset + record.size - len("header\n") for record in found]
    starts = [record.offset - len("header\n") for record in found]
    gaps = zip([0, *ends], [*starts, len(data)], strict=True)
    assert not any(data[end:start].strip() for end, start in gaps)


def test_a_quote_that_nothing_closes_damages_its_line_alone() -> None:
    data = b'1,"x\n' + b"2,y\n" * (MAX_LINES + 5)
    found = records_of(data, "ab")
    assert [record.data for record in found] == [b'1,"x\n', *[b"2,y\n"] * (MAX_LINES + 5)]


def test_a_line_too_long_stands_between_no_quotes() -> None:
    data = b'1,"x\n' + b"y" * LIMIT + b'\n2,z"\n'
    sizes = [(record.size, record.data is None) for record in records_of(data, "ab")]
    assert sizes == [(5, False), (LIMIT + 1, True), (5, False)]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_two_inches_cost_no_sample(tmp_path: Path, ending: str) -> None:
    mark = "\t" if ending == "tsv" else ","
    texts = [f"caption {i}{' 5' + chr(34) + ' tv' if i in (3, 30) else ''}" for i in range(40)]
    path = tmp_path / f"x.{ending}"
    path.write_text(f"url{mark}caption\n" + "".join(f"http://h/{mark}{text}\n" for text in texts))
    found = rows_of(path)
    assert [(row["text"], row["reason"]) for row in found] == [(text, None) for text in texts]


def test_a_quote_that_opens_a_cell_costs_its_line_and_says_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    texts = ['"5" tv', *["plain"] * 5, '"6" tv', "last", '"open']
    path.write_text("url,caption\n" + "".join(f"http://h/,{text}\n" for text in texts))
    found = rows_of(path)
    assert [row["text"] for row in found] == [
        None if '"' in text else text for text in texts
    ]  # fmt: skip
    assert "a quote inside of quotes is written twice" in found[0]["message"]
    assert "1,000 lines and 1,048,576 bytes at most" in found[-1]["message"]
    assert "close the quote, or write the cell in quotes" in found[-1]["message"]


def test_a_header_ends_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('url,"caption\nof it"\nhttp://h/,x\n')
    (row,) = rows_of(path)
    assert "the names of columns stand in one line" in row["message"]


def test_a_cell_may_be_as_long_as_a_row_of_json_lines(tmp_path: Path) -> None:
    """Python's csv module refuses more than 131,072 characters by itself."""
    rows = [("note", "x" * 500_000), ("too long", "x" * LIMIT), ("last", "")]
    csv_path, json_path = tmp_path / "x.csv", tmp_path / "x.jsonl"
    csv_path.write_text("caption,note\n" + "".join(f"{text},{note}\n" for text, note in rows))
    json_path.write_text(
        "".join(f'{{"caption": "{text}", "note": "{note}"}}\n' for text, note in rows)
    )
    for path in (csv_path, json_path):
        found = rows_of(path)
        assert [row["text"] for row in found] == ["note", None, "last"]
        assert f"{LIMIT:,} are the limit of a row: shorten" in found[1]["message"]


def test_every_line_is_in_the_ledger_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    lines = [f'http://h/{i},"{i}' if i % 7 == 3 else f"http://h/{i},c {i}" for i in range(40)]
    path.write_text("\n".join(["url,caption", *lines]))
    run_here(make_plan(tmp_path / "run", path, "  - write", part_samples=9))
    kept = [row["kept"] for row in ledger(tmp_path / "run")]
    assert kept == ['"' not in line for line in lines]
