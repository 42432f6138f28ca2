"""What stands in a file's path alone is a column: for the caption, for signals and in the result, of every format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.draft import fitted
from tests.jobs.test_odd_forms import CAPTIONS, COUNT, PICTURES, sound
from tests.support.running import ledger, make_plan, run_here
from tests.support.tars import make_tar

Write = Callable[[Path], object]
NUMBERS = range(COUNT)


def pictures(folder: Path) -> None:
    for i, data in enumerate(PICTURES):
        (folder / f"{i}.png").write_bytes(data)


def tar(folder: Path) -> None:
    members = [(f"{i}.png", PICTURES[i]) for i in NUMBERS]
    (folder / "0.tar").write_bytes(make_tar(members))


def tar_with_json(folder: Path) -> None:
    made: list[tuple[str, bytes]] = []
    for i in NUMBERS:
        fields = {"score": i} | ({"lang": "own"} if i == 0 else {})
        made += [(f"{i}.png", PICTURES[i]), (f"{i}.json", json.dumps(fields).encode())]
    (folder / "0.tar").write_bytes(make_tar(made))


def parquet(folder: Path) -> None:
    pq.write_table(pa.table({"image": PICTURES, "n": list(NUMBERS)}), folder / "0.parquet")


def lines(folder: Path) -> None:
    pictures(folder)
    rows = [{"file_name": f"{i}.png", "n": i} for i in NUMBERS]
    (folder / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def table(folder: Path) -> None:
    pictures(folder)
    (folder / "a.csv").write_text("file_name,n\n" + "".join(f"{i}.png,{i}\n" for i in NUMBERS))


FORMS: dict[str, Write] = {
    "folder": pictures,
    "tar": tar,
    "tar with json": tar_with_json,
    "parquet": parquet,
    "JSON lines": lines,
    "CSV": table,
}

WORDS = ("a red bird", "zwei Hunde")


def written(root: Path, form: str) -> Path:
    for number, words in enumerate(WORDS):
        folder = root / "in" / f"lang={'en' if number == 0 else 'de'}" / f"class={words}"
        folder.mkdir(parents=True)
        FORMS[form](folder)
    return root / "in"


def result(output: Path) -> list[dict[str, Any]]:
    shards = sorted((output / "shards").glob("*.parquet"))
    return [row for path in shards for row in pq.ParquetFile(path).read().to_pylist()]


@pytest.mark.parametrize("form", FORMS)
def test_a_partition_is_caption_signal_and_column(tmp_path: Path, form: str) -> None:
    path = written(tmp_path, form)
    entry = {"path": str(path), "columns": {"text": "class"}}
    steps = "\n  - signals: [lang, words]\n  - rules: {words: {min: 2}}\n  - write"
    run_here(make_plan(tmp_path / "run", "", steps, input=[entry]))
    rows = ledger(tmp_path / "run")
    own = {"own": 2} if form == "tar with json" else {}
    assert len(rows) == 2 * COUNT
    for row in rows:
        partition = "de" if "lang=de" in row["source"] else "en"
        expected = "own" if own and row["key"].endswith("0") else partition
        assert (row["kept"], row["lang"]) == (True, expected)
        assert row["text"] == WORDS[partition == "de"]
    made = result(tmp_path / "run")
    assert sorted(row["caption"] for row in made) == sorted(WORDS * COUNT)
    assert {row["class"] for row in made} == set(WORDS)
    assert [row["lang"] for row in made].count("own") == sum(own.values())


def test_the_name_of_a_folder_is_the_caption_where_the_job_says_so(tmp_path: Path) -> None:
    for number, name in enumerate(("tabby cat", "wire=haired", "dog")):
        folder = tmp_path / "in" / name
        folder.mkdir(parents=True)
        (folder / "0.png").write_bytes(PICTURES[number])
    text = fitted([f"{tmp_path}/in"])
    assert "# columns: {text: label}  # instead, if label is the caption" in text
    text = text.replace("captions: none", "").replace(
        "# columns: {text: label}", "columns: {text: label}"
    )
    assert sound(text) == (2, 3)  # `wire=haired` is a partition
    entry = {"path": f"{tmp_path}/in", "columns": {"text": "label"}}
    run_here(make_plan(tmp_path / "run", "", "\n  - write", input=[entry]))
    assert sorted(row["caption"] for row in result(tmp_path / "run")) == ["dog", "tabby cat"]


def test_what_nobody_names_changes_no_caption(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "text=no" / "caption=no"
    folder.mkdir(parents=True)
    pictures(folder)
    (folder / "a.jsonl").write_text(
        "".join(f"{json.dumps({'file_name': f'{i}.png', 'txt': CAPTIONS[i]})}\n" for i in NUMBERS)
    )
    run_here(make_plan(tmp_path / "run", tmp_path / "in", "\n  - write"))
    assert [row["text"] for row in ledger(tmp_path / "run")] == CAPTIONS
