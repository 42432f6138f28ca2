"""Captions as they are published with pictures: read as they are, or made readable by the command that is told."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.draft import fitted
from tests.jobs.test_odd_forms import CAPTIONS, COUNT, PICTURES, only, said, sound, tar
from tests.support.pictures import encode, noise
from tests.support.running import ledger, make_plan, run_here

Write = Callable[[Path], object]
NUMBERS = range(COUNT)


def beside(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(PICTURES):
        (folder / f"{i}.png").write_bytes(data)


def told(pictures: str, name: str, content: Any) -> Write:
    """A `.json` of this name, with the pictures in that folder beside it."""

    def write(folder: Path) -> None:
        beside(folder / pictures)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    return write


ROWS = [{"file_name": f"{i}.png", "text": CAPTIONS[i]} for i in NUMBERS]
TALKS = [
    {
        "id": str(i),
        "image": f"pictures/{i}.png",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat is it?"},
            {"from": "gpt", "value": CAPTIONS[i]},
        ],
    }
    for i in NUMBERS
]
COCO = {
    "info": {"year": 2017},
    "images": [{"id": 7 + i, "file_name": f"{i}.png", "height": 64} for i in NUMBERS],
    "annotations": [
        {"image_id": 7 + i, "id": 9 * i + j, "caption": CAPTIONS[i] + " again" * j}
        for j in range(2)
        for i in NUMBERS
    ],
}
KARPATHY = {
    "dataset": "coco",
    "images": [
        {
            "filepath": "val2014",
            "filename": f"{i}.png",
            "sentences": [{"raw": CAPTIONS[i], "tokens": ["a"]}, {"raw": "more of it"}],
        }
        for i in NUMBERS
    ],
}

CONVERTED: dict[str, tuple[Write, str, str]] = {
    "COCO": (told("val2017", "annotations/captions.json", COCO), "annotations/captions.json", "captions: first"),
    "Karpathy's split": (
        told("val2014", "dataset_coco.json", KARPATHY),
        "dataset_coco.json",
        "columns: {text: sentences.raw}  # instead, if sentences.raw is the caption; of a list say captions: first",
    ),
    "rows under a key": (told(".", "a.json", {"version": 1, "data": ROWS}), "a.json", ""),
    "captions by name": (
        told(".", "a.json", {f"{i}.png": CAPTIONS[i] for i in NUMBERS}),
        "a.json",
        "",
    ),
    "objects by name": (
        told(".", "a.json", {f"{i}.png": {"caption": CAPTIONS[i]} for i in NUMBERS}),
        "a.json",
        "",
    ),
    "lists by column": (
        told(".", "a.json", {name: [row[name] for row in ROWS] for name in ROWS[0]}),
        "a.json",
        "",
    ),
}  # fmt: skip
"""Forms -> how they are written, the file, and what the job says that fits what the told command makes of it."""

READ: dict[str, tuple[Write, str, str]] = {
    "a list of objects": (told(".", "a.json", ROWS), "a.json", ""),
    "a list that is called lines": (told(".", "a.jsonl", json.dumps(ROWS, indent=2)), "a.jsonl", ""),
    "lines that are called json": (
        told(".", "a.json", "".join(f"{json.dumps(row)}\n" for row in ROWS)),
        "a.json",
        "",
    ),
    "a directory with a list": (told(".", "a.json", ROWS), ".", ""),
    "LLaVA's conversations": (
        told("pictures", "chat.json", TALKS),
        "chat.json",
        "columns: {text: conversations.1.value}",
    ),
    "conversations in parquet": (
        only(image=PICTURES, conversations=[talk["conversations"] for talk in TALKS]),
        "0.parquet",
        "columns: {text: conversations.1.value}",
    ),
    "conversations in tars": (
        tar("{}.png", "{}.json", json=[json.dumps(talk) for talk in TALKS]),
        "0.tar",
        "columns: {text: conversations.1.value}",
    ),
    "lists of pictures and of turns": (
        only(
            images=[[{"bytes": data, "path": None}] for data in PICTURES],
            texts=[[{"user": "What is it?", "assistant": text}] for text in CAPTIONS],
        ),
        "0.parquet",
        "columns: {image: images.0, text: texts.assistant}  # instead, if texts.assistant is the caption; of a list say captions: first",  # noqa: E501
    ),
    "lists of bytes": (
        only(images=[[data] for data in PICTURES], text=CAPTIONS),
        "0.parquet",
        "columns: {image: images.0}",
    ),
    "lists of paths": (
        told(".", "a.jsonl", [{"images": [row["file_name"]], "text": row["text"]} for row in ROWS]),
        "a.jsonl",
        "columns: {image: images.0}",
    ),
    "captions two structs deep": (
        only(jpg=PICTURES, json=[{"caption": {"text": text}} for text in CAPTIONS]),
        "0.parquet",
        "columns: {text: json.caption.text}",
    ),
}  # fmt: skip
"""Forms -> how they are written, what is named, and a piece of the job that fits."""


def taken(text: str, piece: str) -> str:
    """The job, with the line that it suggests in place of `captions: none`."""
    if f"# {piece}" not in text or not piece:
        return text
    several = "first" if piece.endswith("captions: first") else "one"
    lines = [line for line in text.splitlines() if not line.startswith("    columns:")]
    text = "\n".join(lines).replace("captions: none", f"captions: {several}")
    return text.replace(f"# {piece}", piece)


@pytest.mark.parametrize("name", CONVERTED)
def test_the_command_that_is_told_makes_it_readable(tmp_path: Path, name: str) -> None:
    write, file, piece = CONVERTED[name]
    write(tmp_path)
    command = re.search(r"python -c \".*\"", said(tmp_path / file))
    assert command is not None
    subprocess.run([sys.executable, *shlex.split(command[0])[1:]], check=True)
    (made,) = tmp_path.rglob("*.jsonl")
    text = fitted([str(made)])
    assert piece in text
    assert sound(taken(text, piece)) == (COUNT, COUNT)
    assert f"{tmp_path / file}: it holds one JSON object" in said(tmp_path / file)


@pytest.mark.parametrize("name", READ)
def test_what_is_read_with_the_job_that_fits(tmp_path: Path, name: str) -> None:
    write, file, piece = READ[name]
    write(tmp_path)
    text = fitted([str(tmp_path / file)])
    assert piece in text
    assert sound(taken(text, piece)) == (COUNT, COUNT)


def test_a_json_beside_each_picture_is_no_list(tmp_path: Path) -> None:
    beside(tmp_path)
    for i in NUMBERS:
        (tmp_path / f"{i}.json").write_text(json.dumps({"caption": CAPTIONS[i]}))
    text = fitted([str(tmp_path)])
    assert f"path: '{tmp_path}'" in text
    assert sound(text) == (COUNT, COUNT)


def test_captions_come_out_of_the_lists_that_are_named(tmp_path: Path) -> None:
    told("pictures", "chat.json", TALKS)(tmp_path)
    entry = {"path": f"{tmp_path}/chat.json", "columns": {"text": "conversations.1.value"}}
    run_here(make_plan(tmp_path / "run", "", "\n  - write", input=[entry]))
    assert [row["text"] for row in ledger(tmp_path / "run")] == CAPTIONS


def test_a_list_with_pictures_is_not_written_again_but_all_beside_it_is(tmp_path: Path) -> None:
    other = encode(noise(64, 70, seed=99), "PNG")
    rows = pa.table(
        {
            "images": [[data, other] for data in PICTURES],
            "deep": [{"jpg": data, "camera": i} for i, data in enumerate(PICTURES)],
            "text": CAPTIONS,
        }
    )
    pq.write_table(rows, tmp_path / "0.parquet")
    for way, columns in (("images.1", {"deep"}), ("deep.jpg", {"images", "deep"})):
        entry = {"path": f"{tmp_path}/0.parquet", "columns": {"image": way}}
        output = tmp_path / way
        run_here(make_plan(output, "", "\n  - write", input=[entry]))
        (shard,) = (output / "shards").glob("*.parquet")
        made = pq.ParquetFile(shard).read()
        assert columns <= set(made.column_names)
        assert ("images" in made.column_names) == ("images" in columns)
        if way == "deep.jpg":
            assert made["deep"].to_pylist() == [{"camera": i} for i in NUMBERS]
            assert made["images"].to_pylist() == rows["images"].to_pylist()
