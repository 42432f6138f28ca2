"""A file that lacks a column which others of its entry have stops no job: its samples are dropped rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.draft import fitted
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.planning.preview import preview
from tamis.schemas.errors import InputError
from tests.support.running import ledger, make_plan, picture, run_here

Rows = Mapping[str, Sequence[Any]]

URLS = [f"http://a/{number}" for number in range(3)]


def parquet(path: Path, rows: Rows) -> None:
    pq.write_table(pa.table(dict(rows)), path.with_suffix(".parquet"), row_group_size=2)


def lines(path: Path, rows: Rows) -> None:
    made = (dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True))
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))


def table(path: Path, rows: Rows) -> None:
    made = [",".join(map(str, values)) for values in zip(*rows.values(), strict=True)]
    path.with_suffix(".csv").write_text("\n".join([",".join(rows), *made]) + "\n")


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "parquet": parquet,
    "jsonl": lines,
    "csv": table,
}

WRITE = "  - write: {format: parquet}"


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("lacks", ["a", "b"])
def test_one_without_captions(tmp_path: Path, kind: str, lacks: str) -> None:
    has = "b" if lacks == "a" else "a"
    WRITERS[kind](tmp_path / has, {"url": URLS, "text": ["one", "two", "three"]})
    WRITERS[kind](tmp_path / lacks, {"url": URLS, "stars": [1, 2, 3]})
    made = make_plan(tmp_path / "run", f"{tmp_path}/*.{kind}", WRITE)
    (note,) = preview(made)["notes"]
    assert f"{lacks}.{kind}` has no column for `text`" in note
    assert "name it: `columns: {text: NAME}`" in note
    assert note.endswith("all its samples are dropped rows of the ledger")
    run_here(made)
    rows = ledger(tmp_path / "run")
    dropped = [(row["source"], row["reason"]) for row in rows if not row["kept"]]
    assert dropped == [(f"input/{lacks}.{kind}", "missing_caption")] * 3
    assert sum(row["kept"] for row in rows) == 3
    assert list(verify(open_run(str(tmp_path / "run")), Seen(), deep=True)) == []
    assert "no column" not in fitted([f"{tmp_path}/*.{kind}"])


@pytest.mark.parametrize("kind", WRITERS)
def test_all_without_captions_are_refused(tmp_path: Path, kind: str) -> None:
    for name in "ab":
        WRITERS[kind](tmp_path / name, {"url": URLS, "stars": [1, 2, 3]})
    with pytest.raises(InputError, match=rf"a\.{kind}` has no column for `text`"):
        make_plan(tmp_path / "run", f"{tmp_path}/*.{kind}", WRITE)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", ["url", "uid", "key", "width", "image"])
def test_one_without_a_column_that_the_job_names(tmp_path: Path, kind: str, name: str) -> None:
    texts = ["one", "two", "three"]
    values: Sequence[Any] = [f"{number:032x}" for number in range(3)]
    if name == "width":
        values = [1, 2, 3]
    if name == "image":
        values = [f"{number}.png" for number in range(3)]
        for number in range(3):
            (tmp_path / f"{number}.png").write_bytes(picture(number))
    WRITERS[kind](tmp_path / "a", {"mine": values, "text": texts})
    WRITERS[kind](tmp_path / "b", {"text": texts})
    entry = {"path": f"{tmp_path}/*.{kind}", "columns": {name: "mine"}}
    made = make_plan(tmp_path / "run", "", WRITE, input=[entry])
    assert any("no column mine; it has text" in note for note in preview(made)["notes"])
    run_here(made)
    reason = "missing_image" if name == "image" else "unreadable_row"
    dropped = [row["reason"] for row in ledger(tmp_path / "run") if not row["kept"]]
    assert dropped == [reason] * 3


def test_one_with_captions_of_another_type(tmp_path: Path) -> None:
    parquet(tmp_path / "a", {"url": URLS, "text": ["one", "two", "three"]})
    parquet(tmp_path / "b", {"url": URLS, "text": [1, 2, 3]})
    made = make_plan(tmp_path / "run", f"{tmp_path}/*.parquet", WRITE)
    assert "is of type int64" in preview(made)["notes"][0]
    run_here(made)
    dropped = [row["reason"] for row in ledger(tmp_path / "run") if not row["kept"]]
    assert dropped == ["unreadable_row"] * 3


def test_one_without_pictures_among_those_that_have_some(tmp_path: Path) -> None:
    images = [{"bytes": picture(number), "path": None} for number in range(3)]
    parquet(tmp_path / "a", {"image": images, "text": ["one", "two", "three"]})
    parquet(tmp_path / "b", {"image": images, "stars": [1, 2, 3]})
    steps = "  - signals: [words, min_side]\n  - exact_duplicates: {on: image}\n  - write"
    run_here(make_plan(tmp_path / "run", f"{tmp_path}/*.parquet", steps))
    assert [row["kept"] for row in ledger(tmp_path / "run")] == [True] * 3 + [False] * 3
