"""What a job says of how its samples are read: the input's own names, and how many captions a sample has."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.formats import MEMBER_COLUMNS, format_of, outline
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.tasks import product
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.job import Input
from tamis.schemas.parse import parse_job
from tests.support.running import ledger, make_plan, picture, run_here

UID = "0123456789abcdef" * 2


def tar_of(path: Path, samples: dict[str, dict[str, bytes]]) -> Path:
    """A tar with these members, by key and suffix."""
    with tarfile.open(path, "w") as tar:
        for key, members in samples.items():
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def rows_of(path: Path, options: IngestOptions | None = None, **entry: Any) -> list[dict[str, Any]]:
    """The rows of a file as an entry of a job has it read."""
    (file,) = input_files(Input(path=(str(path),), **entry))
    outline(file).accepted()
    tables = ingest_file(file, options or IngestOptions())
    return [row for table in tables for row in table.to_pylist()]


def members_of(path: Path) -> dict[str, bytes]:
    """The members of a tar by suffix; of several the last."""
    with tarfile.open(path) as tar:
        files = {info.name.partition(".")[2]: tar.extractfile(info) for info in tar}
        return {suffix: file.read() for suffix, file in files.items() if file is not None}


def told(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


ODD = {
    "a": {"img": picture(1), "cap": b"from a member", "txt": b"another", "id": UID.encode()},
    "b": {"input.jpg": picture(2), "json": b'{"cap": "from json", "id": null}', "thumb.png": b"x"},
    "c": {"img": picture(3), "txt": b"not asked for"},
}
NAMED: dict[str, Any] = {"image": ["img", "input.jpg"], "text": "cap", "uid": "id"}


def test_members_of_a_tar_go_by_the_jobs_names(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "x.tar", ODD)
    rows = rows_of(path, columns=NAMED)
    assert told(rows, "key", "text", "reason") == [
        ("a", "from a member", None),
        ("b", "from json", None),
        ("c", None, "missing_caption"),
    ]
    assert rows[0]["uid"].hex() == UID
    assert [row["width"] for row in rows] == [8, 8, 8]
    assert {row["reason"] for row in rows_of(path)} == {"missing_image"}


def test_the_result_has_them_under_names_that_trainers_read(tmp_path: Path) -> None:
    tar_of(tmp_path / "x.tar", ODD)
    job = make_plan(
        tmp_path / "run",
        "",
        "  - write",
        input=[{"path": str(tmp_path / "x.tar"), "columns": NAMED}],
    )
    run_here(job)
    found = members_of(tmp_path / "run/shards/00000.tar")
    due = ["cap", "id", "json", "original.txt", "png", "tamis.uid", "thumb.png", "txt"]
    assert sorted(found) == due
    assert found["png"] in (picture(1), picture(2))
    assert found["original.txt"] == b"another"


def test_a_caption_that_the_job_names_is_the_shards(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "x.tar", {"a": ODD["a"], "c": ODD["c"]})
    (file,) = input_files(
        Input(path=(str(path),), columns={"image": "img", "text": ("cap", "txt")})
    )
    (table,) = ingest_file(file, IngestOptions())
    samples = format_of(file).members(file, table.select(MEMBER_COLUMNS))
    assert [{suffix: bytes(data) for suffix, data in sample} for sample in samples] == [
        {
            "png": picture(1),
            "cap": b"from a member",
            "original.txt": b"another",
            "id": UID.encode(),
        },
        {"png": picture(3), "txt": b"not asked for"},
    ]


def test_a_tar_has_its_keys_and_sizes_by_itself(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "x.tar", ODD)
    with pytest.raises(
        InputError, match=r"`columns: \{width: \.\.\.\}`: its samples have it by themselves"
    ):
        rows_of(path, columns={"width": "w"})


def test_columns_of_parquet_go_by_the_jobs_names(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = {"text": ["no"], "caption_0": ["yes"], "img": [picture(1)], "name": ["k"], "w": [1.5]}
    pq.write_table(pa.table(table), path)
    columns = {"text": "caption_0", "image": ["picture", "img"], "key": "name"}
    (row,) = rows_of(path, columns=columns)
    assert (row["text"], row["key"], row["width"]) == ("yes", "k", 8)
    (file,) = input_files(Input(path=(str(path),), columns=columns))
    (known,) = ingest_file(file, IngestOptions())
    assert list(format_of(file).pictures(file, known)) == [picture(1)]
    field = format_of(file).picture_field(file)
    assert field is not None
    assert field.name == "img"
    assert format_of(file).own_schema(file, known).names == ["text", "caption_0", "name", "w"]
    with pytest.raises(InputError, match=r"has no column nothing or more; it has text \(string\)"):
        rows_of(path, columns={"text": ["nothing", "more"]})


def test_parquet_with_named_columns_comes_out_whole(tmp_path: Path) -> None:
    table = {"cap": [f"caption {i}" for i in range(6)], "img": [picture(i) for i in range(6)]}
    pq.write_table(pa.table(table), tmp_path / "x.parquet", row_group_size=2)
    entry = {"path": str(tmp_path / "x.parquet"), "columns": {"text": "cap", "image": "img"}}
    run_here(make_plan(tmp_path / "run", "", "  - write: {format: parquet}", input=[entry]))
    found = pq.read_table(tmp_path / "run/shards/00000.parquet")
    assert found["img"].to_pylist() == table["img"]
    assert found["caption"].to_pylist() == found["cap"].to_pylist() == table["cap"]


LISTS = [["one", None, "two"], [], None, ["three"], [None]]


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Parquet with a list of captions a row, as Hugging Face's COCO has them."""
    path = tmp_path / "x.parquet"
    images = [{"bytes": picture(i), "path": f"{i}.png"} for i in range(len(LISTS))]
    captions = pa.array(LISTS, pa.list_(pa.string()))
    pq.write_table(pa.table({"image": images, "captions": captions}), path, row_group_size=2)
    return path


NAMES = {"text": "captions"}


def test_a_list_of_captions_has_to_be_said(lists: Path) -> None:
    with pytest.raises(InputError, match="of a list say `captions: first` or `captions: each`"):
        rows_of(lists, columns=NAMES)


def test_the_first_of_a_list(lists: Path) -> None:
    rows = rows_of(lists, columns=NAMES, captions="first")
    assert [row["text"] for row in rows] == ["one", None, None, "three", None]
    assert [row["file_row"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["reason"] for row in rows][1:3] == ["missing_caption"] * 2


@pytest.mark.parametrize("part_samples", [1, 2, 10_000])
def test_a_sample_for_each_of_a_list(lists: Path, part_samples: int) -> None:
    options = IngestOptions(part_samples=part_samples)
    rows = rows_of(lists, options, columns=NAMES, captions="each")
    assert told(rows, "text", "file_row") == [
        ("one", 0),
        ("two", 0),
        (None, 1),
        (None, 2),
        ("three", 3),
        (None, 4),
    ]
    firsts = rows_of(lists, columns=NAMES, captions="first")
    uids = [row["uid"] for row in rows]
    assert len(set(uids)) == 6
    assert uids[:1] + uids[2:] == [row["uid"] for row in firsts]  # a first caption keeps the row's
    assert rows[0]["sha256"] == rows[1]["sha256"]


def test_a_picture_of_several_captions_can_be_left_unopened(lists: Path) -> None:
    """Spans and culprits count samples, as the tables of the run do."""
    (file,) = input_files(Input(path=(str(lists),), columns=NAMES, captions="each"))
    options = IngestOptions(culprits=frozenset({1, 4}))
    (table,) = ingest_file(file, options)
    killed = [i for i, row in enumerate(table.to_pylist()) if row["width"] is None]
    assert killed == [1, 4]
    (table,) = ingest_file(file, replace(options, span=(0, 2), culprits=frozenset()))
    assert [row["width"] is not None for row in table.to_pylist()] == [True] * 2 + [False] * 4


def test_captions_in_the_json_of_a_tar(tmp_path: Path) -> None:
    fields = [{"caption": ["one", "two"]}, {"caption": "three"}, {"caption": [4]}, {"caption": []}]
    samples = {
        f"k{i}": {"png": picture(i), "json": json.dumps(one).encode()}
        for i, one in enumerate(fields)
    }
    path = tar_of(tmp_path / "x.tar", samples)
    assert told(rows_of(path), "text", "reason")[0] == (None, "bad_caption")
    assert "say `captions: first`" in rows_of(path)[0]["message"]
    assert [row["text"] for row in rows_of(path, captions="first")] == ["one", "three", None, None]
    each = rows_of(path, captions="each")
    assert told(each, "text", "file_row", "reason") == [
        ("one", 0, None),
        ("two", 0, None),
        ("three", 1, None),
        (None, 2, "bad_caption"),
        (None, 3, "missing_caption"),
    ]
    assert len({row["uid"] for row in each}) == 5


def test_each_caption_is_a_pair_of_the_result(tmp_path: Path, lists: Path) -> None:
    steps = "  - exact_duplicates: {on: pair}\n  - write"
    entry = {"path": str(lists), "columns": NAMES, "captions": "each"}
    run_here(make_plan(tmp_path / "run", "", steps, input=[entry]))
    with tarfile.open(tmp_path / "run/shards/00000.tar") as tar:
        texts = [tar.extractfile(info) for info in tar if info.name.endswith(".txt")]
        assert [file.read() for file in texts if file is not None] == [b"one", b"two", b"three"]


STEPS = """
  - signals: [min_side, aspect_ratio]
  - rules: {min_side: {min: 8}}
  - exact_duplicates: {on: image}
  - write"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Pictures and classes, without captions; the last two are the same picture."""
    samples = {f"k{i}": {"png": picture(min(i, 8)), "cls": str(i).encode()} for i in range(10)}
    return tar_of(tmp_path / "x.tar", samples)


def test_pictures_without_captions_are_curated(tmp_path: Path, bare: Path) -> None:
    entry = {"path": str(bare), "captions": "none"}
    run_here(make_plan(tmp_path / "run", "", STEPS, input=[entry]))
    rows = ledger(tmp_path / "run")
    assert sum(row["kept"] for row in rows) == 9
    assert {row["reason"] for row in rows} == {None, "same_image"}
    assert set(members_of(tmp_path / "run/shards/00000.tar")) == {"png", "cls"}


def test_pictures_without_captions_are_embedded_alone(tmp_path: Path, bare: Path) -> None:
    steps = "\n  - embed: {encoder: demo}\n  - semantic_duplicates: {clusters: 2, epsilon: 0.01}"
    entry = {"path": str(bare), "captions": "none"}
    made = make_plan(tmp_path / "run", "", steps, input=[entry])
    assert product.signal("clip_similarity") not in made.makers
    run_here(made)
    kept = {row["key"] for row in ledger(tmp_path / "run") if row["kept"]}
    assert kept
    assert not {"k8", "k9"} <= kept


@pytest.mark.parametrize(
    "step",
    [
        "near_duplicates: {agree: none}",
        "exact_duplicates: {on: pair}",
        "importance: {target: x.txt, keep: 3}",
    ],
)
def test_a_step_on_captions_is_refused_without_any(step: str) -> None:
    text = f"name: x\ninput: [{{path: x.tar, captions: none}}]\noutput: y\nsteps: [{step}, write]"
    text = text.replace(f"[{step}, write]", f"\n  - {step}\n  - write")
    with pytest.raises(
        JobError, match="works on captions, and input `input` says `captions: none`"
    ):
        parse_job(text, "x")


def test_a_signal_of_captions_is_refused_without_any(tmp_path: Path, bare: Path) -> None:
    entry = {"path": str(bare), "captions": "none"}
    with pytest.raises(JobError, match="words needs text"):
        make_plan(tmp_path / "run", "", "  - signals: [words]\n  - write", input=[entry])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": "none"}, "`none` is for uid and image"),
        ({"text": []}, "name a column, a key or a suffix"),
        ({"picture": "x"}, "picture"),
    ],
)
def test_columns_are_checked(columns: dict[str, Any], message: str) -> None:
    entry = json.dumps({"path": "x.tar", "columns": columns})
    with pytest.raises(JobError, match=message):
        parse_job(f"name: x\ninput: [{entry}]\noutput: y\nsteps: [write]", "x")


def test_several_samples_of_a_row_have_no_embeddings(tmp_path: Path, lists: Path) -> None:
    (tmp_path / "x.npy").touch()
    entry = Input(path=(str(lists),), captions="each", image_embeddings=str(tmp_path / "x.npy"))
    with pytest.raises(JobError, match="say `captions: first`"):
        input_files(entry)


@pytest.mark.parametrize(("on", "joins"), [("image", True), ("pair", False)])
def test_plan_tells_of_steps_that_keep_one_caption_of_a_picture(
    tmp_path: Path, lists: Path, on: str, joins: bool
) -> None:
    entry = {"path": str(lists), "columns": NAMES, "captions": "each"}
    steps = f"  - exact_duplicates: {{on: {on}}}\n  - write"
    notes = preview(make_plan(tmp_path / "run", "", steps, input=[entry]))["notes"]
    assert any("joins by picture" in note for note in notes) == joins


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
def test_pictures_of_a_table_can_be_left(tmp_path: Path, name: str) -> None:
    row = {"image": "gone/1.jpg", "url": "http://h/1.jpg", "text": "a red dog"}
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    elif name.endswith("jsonl"):
        path.write_text(json.dumps(row) + "\n")
    else:
        pq.write_table(pa.table({column: [value] for column, value in row.items()}), path)
    entry = {"path": str(path), "columns": {"image": "none"}}
    run_here(make_plan(tmp_path / "run", "", "  - write", input=[entry]))
    (kept,) = pq.read_table(tmp_path / "run/shards/00000.parquet").to_pylist()
    assert {column: kept[column] for column in row} == row


def test_pictures_that_are_the_samples_cannot_be_left(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/1.png").write_bytes(picture(1))
    entry = {"path": str(tmp_path / "in"), "columns": {"image": "none"}}
    with pytest.raises(InputError, match="its samples are its pictures: leave it out"):
        make_plan(tmp_path / "run", "", "  - write", input=[entry])
