"""Lists as tables of text are read by their column; a list that meets no sample is told of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.commands.run import told
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.reading.funnel import funnel
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.steps.exclude.entries import Listing, read
from tamis.pipeline.steps.exclude.entries import digest as digest_of
from tamis.pipeline.steps.shared.caption_files import captions
from tamis.schemas.errors import InputError
from tests.support.excluding import SAMPLES, URLS, left_out, run

Rows = list[dict[str, Any]]


def separated(mark: str) -> Callable[[Path, Rows], None]:
    def write(path: Path, rows: Rows) -> None:
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        text = "\r\n".join(mark.join(f'"{cell}"' for cell in line) for line in lines)
        path.write_text(f"\ufeff{text}\r\n", newline="")

    return write


WRITERS: dict[str, Callable[[Path, Rows], object]] = {
    "csv": separated(","),
    "tsv": separated("\t"),
    "jsonl": lambda path, rows: path.write_text("\n".join(map(json.dumps, rows))),
    "json": lambda path, rows: path.write_text(json.dumps(rows, indent=1)),
    "parquet": lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path),
    "pq": lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path),
}
VALUES: dict[str, list[str]] = {
    "url": [str(URLS[1]), str(URLS[3])],
    "domain": ["example.net", "badexample.org"],
    "caption": [SAMPLES[2].text, "caption no 4"],
    "uid": [f"{n:032x}" for n in (0, 5)],
}
DUE = {"url": [1, 3], "domain": [3, 7], "caption": [2, 4], "uid": [0, 5]}


@pytest.mark.parametrize("on", VALUES)
@pytest.mark.parametrize("ending", WRITERS)
def test_a_table_is_read_by_its_column(tmp_path: Path, ending: str, on: Any) -> None:
    rows = [{"why": "asked, in June", on: value} for value in VALUES[on]]
    made = []
    for name in (ending, "parquet"):
        path = tmp_path / f"{name}-list.{name}"
        WRITERS[name](path, rows)
        made.append(read(listing(path, on)))
    assert made[0].num_rows == 2
    assert made[0] == made[1]


def listing(path: Path, on: Any, column: str | None = None) -> Listing:
    sha256 = digest_of(str(path), on)
    return Listing(
        sha256=sha256, on=on, column=column, reveal=True, shown="the list", path=str(path)
    )


@pytest.mark.parametrize("on", VALUES)
def test_samples_of_a_csv_are_left_out(tmp_path: Path, on: str) -> None:
    separated(",")(tmp_path / "x.csv", [{on: value, "why": "a"} for value in VALUES[on]])
    assert left_out(run(tmp_path, f"{{list: {tmp_path}/x.csv, on: {on}}}")) == DUE[on]


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("x.csv", "example.org\nexample.net\n", 2),
        ("x.csv", "domain\nexample.org\n", 1),
        ("x.csv", "example.org,a\nexample.net,b\n", None),
        ("x.csv", "domain,why\nexample.org\n", None),
        ("x.csv", 'domain,why\n"example.org,a\n', None),
        ("x.jsonl", '"example.org"\n', None),
        ("x.jsonl", '{"host": "example.org"}\n', None),
        ("x.jsonl", '{"domain": ["example.org"]}\n', None),
        ("x.csv", "", None),
        ("x.json", '["example.org"]', None),
    ],
)
def test_odd_tables(tmp_path: Path, name: str, text: str, rows: int | None) -> None:
    (tmp_path / name).write_text(text)
    if rows is not None:
        assert read(listing(tmp_path / name, "domain")).num_rows == rows
        return
    with pytest.raises(InputError) as error:
        read(listing(tmp_path / name, "domain"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "text"), [("x.json", '["example.org"]'), ("x.jsonl", "")])
def test_rows_without_columns_are_told(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"object with columns: .* a text file \(.txt\)"):
        read(listing(tmp_path / name, "domain"))


def test_another_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"site": {"host": "example.org"}, "domain": "a.b"}\n')
    one = read(listing(tmp_path / "x.jsonl", "domain", "site.host"))
    (tmp_path / "x.txt").write_text("example.org\n")
    assert one == read(listing(tmp_path / "x.txt", "domain"))


@pytest.mark.parametrize("ending", WRITERS)
def test_captions_to_look_like_are_read_so_too(tmp_path: Path, ending: str) -> None:
    WRITERS[ending](
        tmp_path / f"x.{ending}", [{"id": "1", "caption": "a, b"}, {"id": "2", "caption": "c"}]
    )
    assert [text for some in captions(f"{tmp_path}/x.{ending}", None) for text in some] == [
        "a, b",
        "c",
    ]


@pytest.mark.parametrize(
    ("settings", "is_told"),
    [("", True), ("reveal: false", False), ("on: uid", False)],
)
def test_a_list_that_meets_no_sample_is_told_of(
    tmp_path: Path, settings: str, is_told: bool
) -> None:
    (tmp_path / "none.txt").write_text(f"{0:032x}\n" if "uid" in settings else "nowhere.example\n")
    more = settings if "on:" in settings else f"on: domain, {settings}"
    run(tmp_path, f"{{list: {tmp_path}/none.txt, {more}}}")
    finished = open_run(str(tmp_path / "run"))
    lines = [line for line in told(finished.steps, funnel(finished)) if "stands in" in line]
    assert bool(lines) == is_told
    assert (b"stands in the list" in report(finished)) == is_told
