"""Files and folders as other programs leave them: read as they are meant, or told in a line, with the mend."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.draft import fitted
from tamis.pipeline.runs import plan
from tamis.schemas.parse import parse_job
from tests.jobs.test_odd_forms import BODY, CAPTIONS, COUNT, HEADER, PICTURES, ROWS, said, sound
from tests.support.running import make_plan, run_here
from tests.support.tars import make_tar

Write = Callable[[Path], object]
NUMBERS = range(COUNT)
TABLE = pa.table({"image": PICTURES, "text": CAPTIONS})


def files(suffix: str = "", pictures: str = "", texts: str = "", text: str = "") -> Write:
    """Pictures `i.png` in one folder, and a text for each of them in another, under its name and ``suffix``."""

    def write(folder: Path) -> None:
        for below in (pictures, texts):
            (folder / below).mkdir(exist_ok=True)
        for i in NUMBERS:
            (folder / pictures / f"{i}.png").write_bytes(PICTURES[i])
            if suffix:
                (folder / texts / f"{i}{suffix}").write_text(text or CAPTIONS[i])

    return write


def beside(name: str, content: str | bytes) -> Write:
    """A file of that name beside pictures."""

    def write(folder: Path) -> None:
        files()(folder)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def at(folder: Path, name: str, data: bytes = b"1") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def far(list_: str, pictures: str, named: str = "") -> Write:
    """A list in one folder, of pictures in another; it names them below ``named``."""

    def write(folder: Path) -> None:
        (folder / pictures).mkdir()
        files(pictures=pictures)(folder)
        rows = [{"image": f"{named}{row['file_name']}", "text": row["text"]} for row in ROWS]
        at(folder, list_, "".join(f"{json.dumps(row)}\n" for row in rows).encode())

    return write


def spark(folder: Path) -> None:
    """A table is a folder, as Spark, Dask and Hive write it."""
    for name in ("x.parquet", "y.parquet"):
        (folder / name).mkdir()
        pq.write_table(TABLE, folder / name / "part-00000.snappy.parquet")
        (folder / name / ".part-00000.snappy.parquet.crc").write_bytes(b"crc")
        (folder / name / "_SUCCESS").touch()


def delta(folder: Path) -> None:
    pq.write_table(TABLE, folder / "part-0.parquet")
    (folder / "_delta_log").mkdir()
    (folder / "_delta_log/00000000000000000000.json").write_text("{}")


def linked(folder: Path) -> None:
    """Pictures in a folder that lies elsewhere, and in one that leads back to the first."""
    there = folder.parent / "elsewhere"
    there.mkdir()
    files(".txt")(there)
    os.symlink(there, folder / "set")
    os.symlink(folder, there / "back")


def album(folder: Path) -> None:
    """Facts under the pictures' whole names; of two pictures that share a name each has its own."""
    files()(folder)
    for i in NUMBERS:
        (folder / f"{i}.jpg").write_bytes(PICTURES[i])
        (folder / f"{i}.png.json").write_text(json.dumps({"caption": f"a drawing {i}"}))
        (folder / f"{i}.jpg.supplemental-metadata.json").write_text('{"caption": "a photo of it"}')


def quoted(folder: Path) -> None:
    """Semicolons between cells, of which some have quotes, semicolons and line feeds in them."""
    files()(folder)
    with (folder / "m.csv").open("w", newline="") as out:
        rows = csv.writer(out, delimiter=";")
        rows.writerow(["image_name", "text", "price"])
        rows.writerows([f"{i}.png", f'a "b"; c\nsecond line {i}', "1,5"] for i in NUMBERS)


def frames(folder: Path) -> None:
    """What polars has and pandas has not."""
    more = {
        "text": pl.Series(CAPTIONS, dtype=pl.Categorical),
        "kind": pl.Series(["a", "b"] * 2, dtype=pl.Enum(["a", "b"])),
        "when": pl.Series([1, 2, 3, 4]).cast(pl.Datetime("ns", "UTC")),
        "money": pl.Series([1, 2, 3, 4]).cast(pl.Decimal(10, 2)),
        "pair": pl.Series([[1, 2]] * 4, dtype=pl.Array(pl.Int8, 2)),
        "huge": pl.Series([2**64 - 1] * 4, dtype=pl.UInt64),
        "none": pl.Series([None] * 4),
    }
    pl.DataFrame({"image": PICTURES, **more}).write_parquet(folder / "0.parquet")


def indexed(folder: Path) -> None:
    frame = pd.DataFrame({"image": PICTURES, "text": pd.Categorical(CAPTIONS)})
    frame.index = pd.MultiIndex.from_tuples([(i, "x") for i in NUMBERS], names=["n", "split"])
    frame.to_parquet(folder / "0.parquet")


def partitioned(folder: Path) -> None:
    with duckdb.connect() as database:
        database.register("pairs", TABLE.append_column("lang", pa.array(["en", "de"] * 2)))
        database.execute(f"COPY pairs TO '{folder}/o' (FORMAT parquet, PARTITION_BY (lang))")


def tar(*members: str) -> Write:
    """A tar with these members beside those of its samples."""
    pairs = [
        (f"{i}.{end}", PICTURES[i] if end == "png" else b"a b")
        for i in NUMBERS
        for end in ("png", "txt")
    ]
    return lambda folder: (folder / "0.tar").write_bytes(
        make_tar([*pairs, *((m, b"x") for m in members)])
    )


def mixed(folder: Path) -> None:
    tar()(folder)
    files()(folder)
    (folder / "list.csv").write_text(HEADER + BODY)


READ: dict[str, tuple[Write, int]] = {
    "Spark's folders": (spark, 2 * COUNT),
    "a link to a folder, and back": (linked, COUNT),
    "captions under whole names of pictures": (files(".png.txt"), COUNT),
    "facts of an album": (album, 2 * COUNT),
    "CSV with line feeds in its cells": (quoted, COUNT),
    "a frame of polars": (frames, COUNT),
    "a frame of pandas with an index": (indexed, COUNT),
    "partitions of DuckDB": (partitioned, COUNT),
}  # fmt: skip
"""Forms -> how many samples they have, all of which are read, with their captions."""

TOLD: dict[str, tuple[Write, str]] = {
    "a table of Delta Lake": (delta, "is a Delta table, some of whose files no longer count: make one file"),
    "captions in a folder of their own": (
        files(".txt", "images", "captions"),
        "captions/ has 4 files named as the pictures of",
    ),
    "boxes in a folder of their own": (
        files(".txt", "images", "labels", "0 0.5 0.5 0.2 0.2"),
        "if that is what they are, put them there: cp -n",
    ),
    "captions in a table that is called text": (
        beside("captions.txt", HEADER + BODY),
        "captions.txt lies there too and is not read: it seems to list pictures",
    ),
    "pictures beside tars": (mixed, "4 .png, 1 .csv lie there too and are not read"),
    "a table in a tar": (tar("captions.csv"), "# Of the first 5, 1 cannot be used: missing_image 1."),
    "addresses alone": (
        lambda folder: (folder / "urls.txt").write_text("https://example.org/a.jpg\n" * 3),
        "a list of addresses, and nothing is fetched: img2dataset does it",
    ),
    "whole numbers of 128 bits": (
        lambda folder: pl.DataFrame({"text": ["a"], "big": pl.Series([2**100], dtype=pl.Int128)}).write_parquet(
            folder / "0.parquet"
        ),
        "Integers with more than 64 bits not implemented: write the file without that column",
    ),
    "a list in a folder of its own": (
        far("lists/a.jsonl", "images"),
        "it lies in ../images/: put the table there",
    ),
    "a list that names its own folder": (
        far("images/a.jsonl", "images", "images/"),
        "it lies in ../: put the table there",
    ),
    "names that no file beside a folder has": (
        lambda folder: at(
            folder / "images",
            "a.jsonl",
            b"".join(b'{"image": "%s.png", "text": "a b"}\n' % name for name in (b"\\ud800", b"\\u0000", b"x" * 300)),
        ),
        "there is no such file below the table's folder: put the pictures",
    ),
    "lists of one picture": (
        beside("m.jsonl", "".join(f"{json.dumps({'image': [f'{i}.png'], 'text': 'a b'})}\n" for i in NUMBERS)),
        "say which of it is meant, from 0: `columns: {image: NAME.0}`",
    ),
    "captions in a map": (
        lambda folder: pq.write_table(
            pa.table({"image": PICTURES[:1], "text": pa.array([[("en", "a b")]], pa.map_(pa.string(), pa.string()))}),
            folder / "0.parquet",
        ),
        "# the captions cannot be used: ",
    ),
    "a set of Lance": (
        lambda folder: at(folder, "data/pairs.lance/data/0.lance"),
        "data/pairs.lance').to_table(), '",
    ),
    "a table of Avro": (lambda folder: at(folder, "a.avro"), "pd.DataFrame(fastavro.reader(open('"),
    "a table of SQLite": (
        lambda folder: at(folder, "a.db", b"SQLite format 3"),
        "pd.read_sql('SELECT * FROM TABLE', sqlite3.connect('"),
    "TFRecord without an ending": (
        lambda folder: at(folder, "train-00000-of-01024"),
        ".tfrecord is not read: write parquet of it",
    ),
    "an archive": (lambda folder: at(folder, "a.zip"), "/in/a.zip' -d '"),
    "films": (lambda folder: (folder / "a.mp4").write_bytes(b"1"), "a film, of which nothing is read"),
    "arrays": (lambda folder: (folder / "a.npz").write_bytes(b"1"), ".npz is not read: write parquet of it"),
    "UTF-16 without its mark": (
        beside("m.csv", (HEADER + BODY).encode("utf-16-be")),
        "UTF-16 without its mark: write it as UTF-8 first (iconv -f UTF-16BE -t UTF-8)",
    ),
    "lines in UTF-16": (
        beside("m.jsonl", json.dumps(ROWS[0]).encode("utf-16-le")),
        "UTF-16 without its mark: write it as UTF-8 first (iconv -f UTF-16LE -t UTF-8)",
    ),
    "Excel's first line": (beside("m.csv", "sep=,\n" + HEADER + BODY), "is for Excel alone: remove it (sed -i 1d)"),
    "a comma in a cell": (
        beside("m.csv", HEADER + BODY.replace("number", "a, b")),
        "the header names 2: a cell with ',' in it stands in quotes",
    ),
    "quotes behind a backslash": (
        beside("m.csv", HEADER + '0.png,"a \\"b\\" c"\n'),
        'a quote inside of quotes is written twice, as ""',
    ),
    "objects over several lines": (
        beside("m.jsonl", "\n".join(json.dumps(row, indent=1) for row in ROWS)),
        "its objects stand over several lines: write one a line (jq -c .)",
    ),
    "objects in one line": (beside("m.jsonl", "".join(map(json.dumps, ROWS))), "several objects stand in one line"),
    "objects as Python shows them": (
        beside("m.jsonl", "".join(f"{row}\n" for row in ROWS)),
        "it is written as Python shows it, in single quotes",
    ),
    "a struct in a struct": (
        lambda folder: pq.write_table(
            pa.table({"image": [{"file": {"bytes": b"x", "path": "a"}}], "text": ["a b"]}), folder / "0.parquet"
        ),
        "say where they are: `columns: {image: image.file}`",
    ),
}  # fmt: skip
"""Forms -> a piece of what is said of them."""


@pytest.mark.parametrize("name", READ)
def test_all_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    write, count = READ[name]
    write(tmp_path / "in")
    text = fitted([f"{tmp_path}/in"])
    assert "not read" not in text
    assert ("captions:" in text, "columns:" in text) == (False, False)
    assert sound(text) == (count, count)


@pytest.mark.parametrize("name", TOLD)
def test_what_is_not_read_is_told_in_a_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    TOLD[name][0](tmp_path / "in")
    text = said(tmp_path / "in")
    assert TOLD[name][1] in text
    assert all(len(line) < 1000 for line in text.splitlines())


@pytest.mark.parametrize(
    "name", ["captions in a folder of their own", "captions in a table that is called text"]
)
def test_the_command_that_is_told_brings_captions_to_their_pictures(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "in").mkdir()
    TOLD[name][0](tmp_path / "in")
    command = re.search(r"\b(cp -n|mv) .*", said(tmp_path / "in"))
    assert command is not None
    subprocess.run(["bash", "-c", command[0]], check=True)
    text = fitted([f"{tmp_path}/in"])
    assert "captions:" not in text
    assert sound(text) == (COUNT, COUNT)


TEXT64 = [base64.b64encode(data).decode() for data in PICTURES]
ENCODED: dict[str, Write] = {
    "lines of structs": lambda folder: (folder / "a.jsonl").write_text(
        "".join(f"{json.dumps({'image': {'bytes': text}, 'text': 'a b'})}\n" for text in TEXT64)
    ),
    "a column of text": lambda folder: pq.write_table(
        pa.table({"image": TEXT64, "text": CAPTIONS}), folder / "a.parquet"
    ),
    "a column of bytes": lambda folder: pq.write_table(
        pa.table({"image": list(map(str.encode, TEXT64)), "text": CAPTIONS}), folder / "a.parquet"
    ),
}


@pytest.mark.parametrize("name", ENCODED)
def test_pictures_in_base64_are_told(tmp_path: Path, name: str) -> None:
    ENCODED[name](tmp_path)
    text = said(tmp_path)
    assert "base64.b64decode" in text
    assert "put the pictures below" not in text


def test_files_with_and_without_pictures_do_not_go_into_one_set_of_tars(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "0.parquet")
    pq.write_table(pa.table({"text": ["a b"]}), tmp_path / "1.parquet")
    made = make_plan(tmp_path / "run", f"{tmp_path}/*.parquet", "- write")
    with pytest.raises(Exception, match="has no column of pictures, as other files of the input"):
        run_here(made)


def values(made: plan.Plan) -> dict[str, list[Any]]:
    run_here(made)
    (path,) = Path(made.root).glob("shards/*.parquet")
    return dict(pq.read_table(path).to_pydict())


@pytest.mark.parametrize("name", ["a frame of polars", "a frame of pandas with an index"])
def test_every_column_of_a_frame_is_in_the_result(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    READ[name][0](tmp_path / "in")
    job = parse_job(f"name: a\ninput: {tmp_path}/in\noutput: {tmp_path}/run\nsteps: [write]", "a")
    result = values(plan.make(job))
    source = pq.read_table(tmp_path / "in/0.parquet").drop_columns("image").to_pydict()
    assert {column: result[column] for column in source} == source


def test_of_two_pictures_of_one_name_each_has_its_own_facts(tmp_path: Path) -> None:
    album(tmp_path)
    job = parse_job(f"name: a\ninput: {tmp_path}\noutput: {tmp_path}-run\nsteps: [write]", "a")
    captions = values(plan.make(job))["caption"]
    assert sorted(captions) == [*(f"a drawing {i}" for i in NUMBERS), *["a photo of it"] * COUNT]


def test_a_file_that_two_could_own_stays_apart(tmp_path: Path) -> None:
    """A picture has one caption: the plain one comes first, and the other is a row that says it has no picture."""
    files(".txt")(tmp_path)
    (tmp_path / "0.png.txt").write_text("another caption")
    assert sound(fitted([str(tmp_path)])) == (COUNT, COUNT + 1)
