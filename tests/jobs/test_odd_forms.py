"""Forms of input that people have and nobody promised: read as they are meant, or named with what to do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.draft import fitted
from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.schemas.errors import TamisError
from tamis.schemas.parse import parse_job
from tests.support.pictures import encode, noise
from tests.support.tars import make_tar

COUNT = 4
PICTURES = [encode(noise(64, 70, seed=i), "PNG") for i in range(COUNT)]
CAPTIONS = [f"picture number {i}" for i in range(COUNT)]
ROWS = [{"file_name": f"{i}.png", "text": CAPTIONS[i]} for i in range(COUNT)]
HEADER = "file_name,text\n"
BODY = "".join(f"{i}.png,{CAPTIONS[i]}\n" for i in range(COUNT))

Write = Callable[[Path], None]


def beside(folder: Path) -> None:
    for i, data in enumerate(PICTURES):
        (folder / f"{i}.png").write_bytes(data)


def tar(*members: str, **contents: Any) -> Write:
    """A tar of samples; ``members`` are names with the sample's number in them, `{}`, by what is in them."""

    def write(folder: Path) -> None:
        made = []
        for i in range(COUNT):
            for name in members:
                what = name.rpartition(".")[2].lower()
                value = contents.get(what, PICTURES if what == "png" else CAPTIONS)[i]
                made.append((name.format(i), value if isinstance(value, bytes) else value.encode()))
        (folder / "0.tar").write_bytes(make_tar(made))

    return write


def parquet(file_name: str = "0.parquet", **columns: Any) -> Write:
    def write(folder: Path) -> None:
        path = folder / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"image": PICTURES, "text": CAPTIONS} | columns), path)

    return write


def only(**columns: Any) -> Write:
    """A parquet file of these columns alone."""
    return lambda folder: pq.write_table(pa.table(columns), folder / "0.parquet")


def file(name: str, content: str | bytes) -> Write:
    """A list beside pictures."""

    def write(folder: Path) -> None:
        beside(folder)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def alone(name: str, content: bytes) -> Write:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return write


def lines(*rows: Any) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def below(folder: Path) -> None:
    """A list as Windows writes it."""
    (folder / "img").mkdir()
    beside(folder / "img")
    rows = [f"img\\{i}.png,{CAPTIONS[i]}" for i in range(COUNT)]
    (folder / "m.csv").write_text(HEADER + "\n".join(rows))


def addresses(folder: Path) -> None:
    beside(folder)
    rows = [f"file://{folder}/{i}.png,{CAPTIONS[i]}" for i in range(COUNT)]
    (folder / "m.csv").write_text(HEADER + "\n".join(rows))


def partitions(folder: Path) -> None:
    names = (
        "Lang=EN",
        "lang=de",
        "key=7",
        "width=12",
        "straße=ß",
        "a b=c d",
        "kept=yes",
        "select=from",
        "x=a=b",
    )
    for name in names:
        parquet(f"{name}/y=/0.parquet")(folder)


READ: dict[str, Write] = {
    "suffixes in capitals": tar("{}.PNG", "{}.TXT"),
    "folders with dots": tar("v1.2/a.b/{}.png", "v1.2/a.b/{}.txt"),
    "names in other scripts": tar("фото {}.png", "фото {}.txt"),
    "names below the current folder": tar("./{}.png", "./{}.txt"),
    "names of more than a header": tar("x" * 150 + "/{}.png", "x" * 150 + "/{}.txt"),
    "what file managers leave": tar("._{}.png", "{}.png", "{}.txt"),
    "captions with a byte order mark": tar(
        "{}.png", "{}.txt", txt=[f"\ufeff{text}" for text in CAPTIONS]
    ),
    "keys in capitals": tar(
        "{}.png", "{}.json", json=[json.dumps({"Caption": c}) for c in CAPTIONS]
    ),
    "a mask beside the picture": tar("{}.png", "{}.mask.png", "{}.txt"),
    "columns in capitals": only(IMAGE=PICTURES, Caption=CAPTIONS),
    "a name in two letter cases": parquet(Image=PICTURES, Text=CAPTIONS),
    "names of columns of any kind": only(
        image=PICTURES,
        text=CAPTIONS,
        **dict.fromkeys(("a.b", "", "x y", "new\nline", "😀"), CAPTIONS),
    ),
    "uids with dashes": parquet(
        uid=[f"12345678-1234-1234-1234-12345678900{i}" for i in range(COUNT)]
    ),
    "partitions of odd names": partitions,
    "Spark's names": parquet("part-00000-abc.snappy.parquet"),
    "another ending of parquet": parquet("0.pq"),
    "an ending in capitals": parquet("0.PARQUET"),
    "endings in two letter cases": lambda folder: [
        parquet("0.PARQUET")(folder),
        parquet("1.parquet")(folder),
    ][0],
    "CSV with a byte order mark": file("m.csv", "\ufeff" + HEADER + BODY),
    "CSV of Windows": file("m.csv", (HEADER + BODY).replace("\n", "\r\n")),
    "CSV with semicolons": file("m.csv", (HEADER + BODY).replace(",", ";")),
    "CSV with bars": file("m.csv", (HEADER + BODY).replace(",", "|")),
    "CSV with blanks behind commas": file(
        "m.csv",
        "file_name, text\n" + "".join(f'{i}.png, "{CAPTIONS[i]}, two"\n' for i in range(COUNT)),
    ),
    "CSV with pandas' index": file(
        "m.csv", "," + HEADER + "".join(f"{i},{i}.png,{CAPTIONS[i]}\n" for i in range(COUNT))
    ),
    "CSV with a comma at each end": file("m.csv", (HEADER + BODY).replace("\n", ",\n")),
    "CSV in quotes": file(
        "m.csv", '"file_name","text"\n' + "".join(f'"{i}.png","{CAPTIONS[i]}"\n' for i in range(4))
    ),
    "CSV in capitals": file("M.CSV", (HEADER.upper() + BODY)),
    "tabs": file("m.tsv", (HEADER + BODY).replace(",", "\t")),
    "paths of Windows": below,
    "addresses of this machine": addresses,
    "JSON lines with a byte order mark": file("m.jsonl", "\ufeff" + lines(*ROWS)),
    "JSON lines with empty ones": file("m.jsonl", lines(*ROWS).replace("\n", "\n \n")),
    "JSON lines in capitals": file("m.NDJSON", lines(*ROWS)),
    "numbers that no column holds": file(
        "m.jsonl", lines(*({**row, "x": float("nan"), "big": 10**30} for row in ROWS))
    ),
    "pictures as objects": file(
        "m.jsonl", lines(*({"image": {"path": r["file_name"]}, "caption": r["text"]} for r in ROWS))
    ),
}
"""Forms that are read whole."""

FITTED: dict[str, tuple[Write, str]] = {
    "pictures under another name": (only(img=PICTURES, text=CAPTIONS), "columns: {image: img}"),
    "pictures under any name": (only(data=PICTURES, text=CAPTIONS), "columns: {image: data}"),
    "structs under another name": (
        only(photo=[{"bytes": data, "path": None} for data in PICTURES], text=CAPTIONS),
        "columns: {image: photo}",
    ),
    "lists with nulls": (parquet(text=[[text, None] for text in CAPTIONS]), "captions: first"),
    "lists of one length": (
        parquet(text=pa.array([[text, "more"] for text in CAPTIONS], pa.list_(pa.string(), 2))),
        "captions: first",
    ),
    "captions by language in json": (
        tar("{}.png", "{}.json", json=[json.dumps({"caption": {"en": c}}) for c in CAPTIONS]),
        "columns: {text: caption.en}",
    ),
    "captions by language in JSON lines": (
        file(
            "m.jsonl",
            lines(*({"file_name": r["file_name"], "caption": {"en": r["text"]}} for r in ROWS)),
        ),
        "columns: {text: caption.en}",
    ),
    "captions by language in parquet": (
        only(image=PICTURES, caption=[{"en": {"long": text}} for text in CAPTIONS]),
        "columns: {text: caption.en.long}",
    ),
    "lists of captions by language": (
        only(image=PICTURES, caption=[{"en": [text, "more"]} for text in CAPTIONS]),
        "columns: {text: caption.en}  # instead, if caption.en is the caption; of a list say captions: first",
    ),
    "the second of two columns": (
        parquet(text=[""] * COUNT, caption=CAPTIONS),
        "columns: {text: caption}",
    ),
}
"""Forms -> what the fitted job says, as it stands or behind a mark, so that all is read."""

TOLD: dict[str, tuple[Write, str]] = {
    "CSV in UTF-16": (
        file("m.csv", (HEADER + BODY).encode("utf-16")),
        "m.csv lies there too and is not read: the file is UTF-16",
    ),
    "CSV without a header": (
        file("m.csv", BODY),
        "its first row is no header, for it has 0.png: write one",
    ),
    "a list of keys": (
        file("m.csv", "id,text\n0,zero\n"),
        "known to name pictures: it has id, text",
    ),
    "JSON of one object": (
        file("m.json", json.dumps({"data": ROWS})),
        "m.json lies there too and is not read: it holds one JSON object, not a list of them: make JSON lines",
    ),
    "a packed list": (
        file("m.jsonl.gz", gzip.compress(b"{}")),
        "m.jsonl.gz lies there too and is not read: .gz is packed",
    ),
    "lists of pictures": (
        only(image=[[data] for data in PICTURES], text=CAPTIONS),
        "but pictures are bytes",
    ),
    "pictures as text": (
        only(image=["data:image/png;base64,AAAA"] * 4, text=CAPTIONS),
        "a picture as text, which is not read",
    ),
    "an empty tar": (
        alone("0.tar", b""),
        "the file is empty",
    ),
    "a tar without members": (
        alone("0.tar", make_tar([])),
        "has no samples",
    ),
    "a packed tar": (
        alone("0.tar", gzip.compress(b"x")),
        "this is gzip: unpack it first",
    ),
    "an empty file of parquet": (
        alone("0.parquet", b""),
        "file size is 0 bytes",
    ),
    "parquet without rows": (
        only(image=pa.array([], pa.binary()), text=pa.array([], pa.string())),
        "has no samples",
    ),
    "half a surrogate pair": (
        file(
            "m.jsonl",
            '{"file_name":"\\ud800.png","text":"a b"}\n{"file_name":"0.png","text":"\\ud800"}\n',
        ),
        "# Of the first 2, 1 cannot be used: missing_image 1.",
    ),
    "a null byte": (
        file("m.jsonl", '{"file_name":"a\\u0000.png","text":"a b"}\n'),
        "there is no such file",
    ),
    "a directory without files": (lambda _: None, "a directory without files"),
}
"""Forms -> a piece of what is said."""


def said(folder: Path) -> str:
    try:
        return fitted([str(folder)])
    except TamisError as error:
        return str(error)


def sound(text: str) -> tuple[int, int]:
    """(samples that can be used, all) of a job's input."""
    (entry,) = parse_job(text, "job").input
    reasons = [
        reason
        for source in input_files(entry)
        for table in ingest_file(source, IngestOptions())
        for reason in table["reason"].to_pylist()
    ]
    return reasons.count(None), len(reasons)


@pytest.mark.parametrize("name", READ)
def test_what_is_read_as_it_is(tmp_path: Path, name: str) -> None:
    READ[name](tmp_path)
    text = fitted([str(tmp_path)])
    assert ("captions:" in text, "columns:" in text) == (False, False)
    usable, rows = sound(text)
    assert usable == rows >= COUNT


@pytest.mark.parametrize("name", FITTED)
def test_what_the_fitted_job_says_makes_all_read(tmp_path: Path, name: str) -> None:
    write, piece = FITTED[name]
    write(tmp_path)
    text = fitted([str(tmp_path)])
    assert piece in text
    if f"# {piece}" in text:  # a suggestion, which is taken
        several = "first" if piece.endswith("captions: first") else "one"
        text = text.replace("captions: none", f"captions: {several}").replace(f"# {piece}", piece)
    assert sound(text) == (COUNT, COUNT)


@pytest.mark.parametrize("name", ["00000.tar", "1e5.tar", "0x10.tar", "true.tar", "Null.tar"])
def test_names_of_files_that_yaml_takes_for_something_else(tmp_path: Path, name: str) -> None:
    READ["names below the current folder"](tmp_path)
    (tmp_path / "0.tar").rename(tmp_path / name)
    job = parse_job(fitted([str(tmp_path / name)]), "job")
    assert job.name == name.removesuffix(".tar").lower()


@pytest.mark.parametrize("name", TOLD)
def test_what_is_not_read_is_told(tmp_path: Path, name: str) -> None:
    write, piece = TOLD[name]
    write(tmp_path)
    assert piece in said(tmp_path)
