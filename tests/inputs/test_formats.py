"""What every input format has to do: all of the registry, and one made by the recipe alone, pass the same tests.

A new format adds its maker of files to MAKERS.
"""

from __future__ import annotations

import ast
import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tamis.pipeline.inputs.columns import NUMBER, TEXT, TRUTH
from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.formats import (
    MEMBER_COLUMNS,
    PICTURE_COLUMNS,
    VALUE_COLUMNS,
    format_named,
    format_of,
    outline,
)
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import FILE, IngestOptions
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.formats import FORMATS, word
from tamis.schemas.job import Input
from tamis.schemas.ledger import Reason
from tamis.schemas.tables import INGEST
from tests.conftest import ROOT
from tests.support import toy_format
from tests.support.input_files import Row, bytes_of, ingested
from tests.support.pictures import encode, noise
from tests.support.running import Sample, write_tar
from tests.support.written_inputs import (
    Maker,
    write_csv,
    write_folder,
    write_jsonl,
    write_parquet,
)

UID = "0123456789abcdef" * 2


MAKERS: dict[str, Callable[[Path, Sequence[Sample]], object]] = {
    "tar": write_tar,
    "parquet": write_parquet,
    "jsonl": write_jsonl,
    "csv": write_csv,
    "folder": write_folder,
    toy_format.NAME: toy_format.write,
}
"""By a format's name: what writes a file of samples (key, picture, caption, further fields)."""

SAMPLES = [
    Sample(
        f"k{i}",
        encode(noise(24 + i, 16, seed=i), "PNG"),
        f"caption number {i}",
        {"url": f"http://example.org/{i}", "stars": i / 2, "artist": f"a{i % 3}", "good": i > 4},
    )
    for i in range(10)
]


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, toy_format.NAME, toy_format.ADDRESS)


@pytest.fixture(params=[*FORMATS, toy_format.NAME])
def maker(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    return Maker(request.param, MAKERS[request.param], tmp_path)


def table_of(source: InputFile) -> pa.Table:
    return pa.concat_tables(ingested(source))


def rows_of(source: InputFile, options: IngestOptions | None = None) -> list[Row]:
    """All rows, after what holds for every input (its schema, unique uids, size and SHA-256 of the file)."""
    parts = ingested(source, options or IngestOptions())
    return [row for part in parts for row in part.to_pylist()]


# Which file is of which format.


def test_a_file_is_known_by_its_ending(maker: Maker) -> None:
    source = maker.file(SAMPLES)
    everything = str(maker.path.parent / f"*{maker.path.suffix}")
    for path in (source.path, everything if maker.path.suffix else str(maker.path)):
        (found,) = input_files(Input(path=(path,)))
        assert replace(found, stamp="") == source


def test_a_job_may_name_the_format(maker: Maker) -> None:
    if maker.kind == "folder":
        MAKERS["folder"](maker.folder / "data", SAMPLES)
    else:
        (maker.folder / "data").write_bytes(b"")
    path = (str(maker.folder / "data"),)
    (found,) = input_files(Input(path=path, format=word(maker.kind)))
    assert found.kind == maker.kind
    if maker.kind == "folder":
        assert input_files(Input(path=path)) == [found]
        return
    with pytest.raises(JobError, match=rf"neither .tar nor .*say .*`format: {word(maker.kind)}`"):
        input_files(Input(path=path))


def test_no_two_formats_share_an_ending() -> None:
    endings = [ending for name in FORMATS for ending in format_named(name).endings]
    assert all(ending[0] in "./" and ending == ending.lower() for ending in endings)
    assert not [(a, b) for a in endings for b in endings if a is not b and a.endswith(b)]


def test_a_format_that_is_not_there_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^no input format `parqet`; did you mean `parquet`\?$"):
        format_of(InputFile("input", "x", "x", "parqet", 0))


def asked(source: str) -> list[str]:
    """The comparisons in a module of a ``kind`` with the name of a format."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
            kinds = any(side.endswith(("kind", "kind']")) for side in sides)
            if kinds and any(repr(name) in side for side in sides for name in FORMATS):
                found.append(ast.unparse(node))
    return found


def test_no_module_asks_which_format_a_file_has() -> None:
    assert asked("if file.kind == 'tar' or args['kind'] in {'parquet'}: pass") == [
        "file.kind == 'tar'",
        "args['kind'] in {'parquet'}",
    ]
    modules = [
        path for top in ("pipeline", "jobs", "schemas") for path in (ROOT / top).rglob("*.py")
    ]
    assert not [(path, *asked(path.read_text())) for path in modules if asked(path.read_text())]


# The walk.


def test_what_went_in_comes_out(maker: Maker) -> None:
    for row, sample in zip(rows_of(maker.file(SAMPLES)), SAMPLES, strict=True):
        assert (row["key"], row["text"], row["reason"]) == (sample.key, sample.text, None)
        assert row["url"] == sample.fields["url"]
        assert row["sha256"] == hashlib.sha256(sample.image).digest()
        assert row["image_size"] == len(sample.image)
        assert row["image_format"] == "png"
        assert (row["width"], row["height"]) == (24 + int(sample.key[1:]), 16)


def test_the_same_file_gives_the_same_rows_however_it_is_cut(maker: Maker) -> None:
    source = maker.file(SAMPLES)
    whole = rows_of(source)
    assert rows_of(source) == whole
    for size in (1, 3, 4, 9):
        assert rows_of(source, IngestOptions(part_samples=size)) == whole


def test_a_uid_of_the_input_is_taken(maker: Maker) -> None:
    dashed = str(uuid.UUID(UID[::-1]))
    given = [replace(SAMPLES[0], fields={"uid": UID}), replace(SAMPLES[1], fields={"uid": dashed})]
    first, second = rows_of(maker.file(given))
    assert first["uid"].hex() == UID
    assert second["uid"].hex() == UID[::-1]
    with pytest.raises(
        InputError, match=r"'short' is no uid .*give the input `columns: {uid: none}`"
    ):
        rows_of(maker.file([given[0], replace(SAMPLES[1], fields={"uid": "short"})]))


def test_a_url_works_as_a_disk_does(maker: Maker) -> None:
    source = maker.file(SAMPLES)
    remote = maker.copied("memory://copy")
    table = table_of(source)
    (found,) = ingest_file(remote, IngestOptions())
    assert found.equals(table)
    assert outline(remote) == outline(source)
    assert format_of(remote).columns(remote) == format_of(source).columns(source)
    assert list(format_of(remote).pictures(remote, table)) == list(
        format_of(source).pictures(source, table)
    )
    assert list(format_of(remote).members(remote, table)) == list(
        format_of(source).members(source, table)
    )
    wanted = {"stars": NUMBER}
    assert format_of(remote).values(remote, table, wanted) == format_of(source).values(
        source, table, wanted
    )


def test_a_missing_file_is_an_error(maker: Maker) -> None:
    source = InputFile("input", "x", "/nowhere/x", maker.kind, 0)
    with pytest.raises(InputError, match=r"`/nowhere/x`"):
        list(ingest_file(source, IngestOptions()))


# What is wrong with a sample.


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        ({"text": " \n"}, {}, Reason.EMPTY_CAPTION),
        ({"text": "\u200b \ufeff"}, {}, Reason.EMPTY_CAPTION),
        ({"text": "x" * 99}, {"max_caption_bytes": 98}, Reason.CAPTION_TOO_LONG),
        ({"image": b"no picture"}, {}, Reason.UNDECODABLE_IMAGE),
        ({"image": SAMPLES[2].image[:-40]}, {}, Reason.TRUNCATED_IMAGE),
        ({"image": encode(noise(200, 90), "PNG")}, {"max_pixels": 9_000}, Reason.IMAGE_TOO_LARGE),
        ({"image": bytes(80_000)}, {"max_member_bytes": 60_000}, Reason.MEMBER_TOO_LARGE),
    ],
    ids=lambda value: value if isinstance(value, Reason) else "",
)
def test_a_fault_of_one_sample_is_its_rows_reason(
    maker: Maker, change: dict[str, Any], options: dict[str, Any], reason: Reason
) -> None:
    samples = [*SAMPLES[:2], replace(SAMPLES[2], **change), *SAMPLES[3:]]
    rows = rows_of(maker.file(samples), IngestOptions(**options))
    assert [row["key"] for row in rows] == [sample.key for sample in samples]
    assert [row["reason"] for row in rows] == [None, None, reason, *[None] * 7]
    assert rows[2]["message"]


@pytest.mark.parametrize("text", ["", " \n", "\u200b \ufeff"])
def test_empty_captions_can_be_taken(maker: Maker, text: str) -> None:
    samples = [*SAMPLES[:2], replace(SAMPLES[2], text=text), *SAMPLES[3:]]
    taken = rows_of(maker.file(samples), IngestOptions(empty_captions=True))
    none = maker.kind == "csv" and not text  # an empty cell is no caption
    reasons = [None, None, Reason.MISSING_CAPTION if none else None, *[None] * 7]
    assert [row["reason"] for row in taken] == reasons
    if not none:
        assert taken[2]["text"] == text
        assert taken[2]["sha256"] is not None


def test_a_picture_that_ends_the_process_is_not_opened(maker: Maker) -> None:
    source = maker.file(SAMPLES)
    killed = [row["reason"] for row in rows_of(source, IngestOptions(culprits=frozenset({2, 7})))]
    expected = [Reason.KILLED_ITS_WORKER if i in (2, 7) else None for i in range(10)]
    assert killed == expected
    closed = rows_of(source, IngestOptions(span=(3, 5)))
    assert [row["reason"] is None for row in closed] == [i in (3, 4) for i in range(10)]


@pytest.mark.parametrize("closed", [FILE, 0])
def test_a_file_or_the_start_of_one_that_ends_the_process_is_not_read(
    closed: int, maker: Maker
) -> None:
    """Of a table with row groups the first are rows; of others the file is one. Its hash is known all the same."""
    source = maker.file(SAMPLES)
    sound = ingest_file(source, IngestOptions())
    whole = pa.concat_tables(sound).to_pylist()
    found = ingest_file(source, IngestOptions(closed=frozenset({closed})))
    rows = pa.concat_tables(found).to_pylist()
    assert found.totals == sound.totals
    killed = [row for row in rows if row["reason"] == Reason.KILLED_ITS_WORKER]
    assert all(row["message"].endswith("reading it ends the worker process") for row in killed)
    if len(rows) == 1:
        assert len(killed) == 1
    else:
        assert len(killed) == 4
        assert rows[4:] == whole[4:]


# What is wrong with a file.


def check_damaged(source: InputFile) -> list[Row]:
    """No row but the good ones and those that say what is wrong; the good ones."""
    good = {sample.key: hashlib.sha256(sample.image).digest() for sample in SAMPLES}
    rows = rows_of(source)
    for row in rows:
        if row["reason"] is None:
            assert good[row["key"]] == row["sha256"]
        else:
            assert Reason(row["reason"])
            assert row["message"]
    return [row for row in rows if row["reason"] is None]


def test_a_file_that_is_cut_off_is_rows(maker: Maker) -> None:
    data = bytes_of(Path(maker.file(SAMPLES).path))
    for size in range(0, len(data), max(1, len(data) // 60)):
        assert len(check_damaged(maker.raw(data[:size]))) <= len(SAMPLES)


def test_garbage_in_the_middle_is_rows(maker: Maker) -> None:
    data = bytes_of(Path(maker.file(SAMPLES).path))
    for start in range(0, len(data), max(1, len(data) // 30)):
        garbage = b"\xff\x00{[" * 40
        changed = data[:start] + garbage + data[start + len(garbage) :]
        source = maker.raw(changed)
        table = pa.concat_tables([INGEST.empty_table(), *ingested(source)])
        assert set(filter(None, table["reason"].to_pylist())) <= set(Reason)


@pytest.mark.parametrize("data", [b"nothing of the kind" * 300, bytes(3000), b"\xff" * 700])
def test_a_file_of_something_else_is_rows_with_reasons(maker: Maker, data: bytes) -> None:
    source = maker.raw(data)
    assert check_damaged(source) == []
    assert format_of(source).columns(source) == {}
    told = outline(source)
    assert (told.rows, told.refused) == (None, None)


def test_an_empty_file_has_no_sample(maker: Maker) -> None:
    source = maker.raw(b"")
    assert check_damaged(source) == []
    assert format_of(source).columns(source) == {}
    assert rows_of(maker.file([])) == []


# The way back.


@pytest.mark.parametrize("rows", [[], [9], [0, 3, 4, 8], list(range(10))], ids=str)
def test_pictures_and_members_come_back_byte_for_byte(maker: Maker, rows: list[int]) -> None:
    source = maker.file(SAMPLES)
    table = table_of(source).take(pa.array(rows, pa.int64()))
    chosen = [SAMPLES[row] for row in rows]
    images = [sample.image for sample in chosen]
    pictures = table.select(PICTURE_COLUMNS)
    assert list(format_of(source).pictures(source, pictures)) == images
    found = [
        {suffix: bytes(data) for suffix, data in sample}
        for sample in format_of(source).members(source, table.select(MEMBER_COLUMNS))
    ]
    assert [members["png"] for members in found] == images
    assert [members["txt"].decode() for members in found] == [sample.text for sample in chosen]


@pytest.mark.parametrize("change", ["other pictures", "fewer", "cut off", "something else"])
def test_a_file_that_has_changed_is_an_error(maker: Maker, change: str) -> None:
    source = maker.file(SAMPLES)
    table, data = table_of(source), bytes_of(Path(source.path))
    if change == "other pictures":
        maker.file([replace(a, image=b.image) for a, b in zip(SAMPLES, SAMPLES[::-1], strict=True)])
    elif change == "fewer":
        maker.file(SAMPLES[:3])
    else:
        maker.raw(data[: len(data) // 2] if change == "cut off" else b"x" * len(data))
    for read in (format_of(source).pictures, format_of(source).members):
        with pytest.raises(InputError, match=r"x[./].*run again with --accept-changed"):
            list(read(source, table))


# The input's own columns.


def test_columns_and_their_values(maker: Maker) -> None:
    source = maker.file(SAMPLES)
    expected = {"url": TEXT, "stars": NUMBER, "artist": TEXT, "good": TRUTH}
    found = format_of(source).columns(source)
    assert {name: found[name] for name in expected} == expected
    table = table_of(source).select(VALUE_COLUMNS)
    for rows in ([], [5], [0, 4, 9], list(range(10))):
        wanted = {"stars": NUMBER, "artist": TEXT, "good": TRUTH}
        values = format_of(source).values(source, table.take(pa.array(rows, pa.int64())), wanted)
        assert set(values) == set(wanted)
        for name, kind in wanted.items():
            assert values[name].type == kind
            assert values[name].to_pylist() == [SAMPLES[row].fields[name] for row in rows]


# What a person is told.


def test_the_outline_of_a_sound_file(maker: Maker) -> None:
    told = outline(maker.file(SAMPLES)).accepted()
    assert told.pictures
    assert told.damage is None
    assert told.rows in (None, len(SAMPLES))


def test_every_sample_can_be_found_in_the_file(maker: Maker) -> None:
    rows = rows_of(maker.file(SAMPLES))
    where = [
        format_named(maker.kind).where(
            {key: value for key, value in row.items() if value is not None}
        )
        for row in rows
    ]
    assert all(where)
    assert len(set(where)) == len(SAMPLES)
    assert format_named(maker.kind).where({}) is None
