"""Folders of single pictures: what belongs to a sample, and what is said of the rest."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tamis.jobs.commands.explain import _facts
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import stories
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.planning.preview import preview
from tamis.schemas.errors import InputError, StateError
from tamis.schemas.job import Input
from tests.support.running import contents, ledger, make_plan, picture, run_here


def rows_of(folder: Path, **entry: Any) -> dict[str, dict[str, Any]]:
    """Key to row."""
    rows: dict[str, dict[str, Any]] = {}
    for file in input_files(Input(path=(str(folder),), **entry)):
        for table in ingest_file(file, IngestOptions()):
            rows |= {row["key"]: row for row in table.to_pylist()}
    return rows


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A person's folder, as it is met."""
    return write(
        tmp_path / "photos",
        {
            "IMG.2024.01.JPG": picture(1),
            "IMG.2024.01.txt": b"a dot in the name",
            "b.png": picture(2),
            "b.json": json.dumps({"caption": "from json", "stars": 3}).encode(),
            "twice.jpg": picture(3),
            "twice.png": picture(4),
            "twice.txt": b"two pictures of one name",
            "bare.png": picture(5),
            "apple.heic": b"\0\0\0\x1cftypheic",
            "alone.txt": b"no picture",
            "empty.png": b"",
            "empty.txt": b"an empty picture",
            "README.md": b"not a sample",
            ".hidden.png": picture(6),
            "cats/b.png": picture(7),
            "cats/b.txt": b"of another folder",
        },
    )


def test_a_sample_is_what_shares_a_name_up_to_the_last_dot(photos: Path) -> None:
    rows = rows_of(photos / "cats") | rows_of(photos, format="folder")
    found = {key: (row["text"], row["reason"]) for key, row in rows.items()}
    assert found == {
        "IMG.2024.01": ("a dot in the name", None),
        "b": ("of another folder", None),  # the one below `cats` comes last
        "twice": ("two pictures of one name", None),
        "twice.png": ("two pictures of one name", None),
        "bare": (None, "missing_caption"),
        "apple": (None, "missing_image"),
        "alone": ("no picture", "missing_image"),
        "empty": ("an empty picture", "empty_image"),
    }
    assert rows["apple"]["message"].endswith(
        "heic: heic is not decoded, convert it to jpg, png or webp"
    )
    assert rows["twice"]["sha256"] != rows["twice.png"]["sha256"]


def test_pictures_without_captions(photos: Path) -> None:
    rows = rows_of(photos, captions="none")
    assert rows["bare"]["reason"] is None
    assert {row["text"] for row in rows.values()} == {None}


def test_the_names_of_a_job(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {"a.img": picture(1), "a.cap": b"named", "b.jpg": picture(2), "b.txt": b"not named"},
    )
    rows = rows_of(folder, columns={"image": ["img"], "text": "cap"})
    assert rows["a"]["text"] == "named"
    assert rows["a"]["reason"] is None
    with pytest.raises(InputError, match="its samples have it by themselves"):
        make_plan(
            tmp_path.with_name(f"{tmp_path.name}-run"),
            "",
            "  - write",
            input=[{"path": str(folder), "columns": {"width": "w"}}],
        )


STEPS = """
  - signals: [words, min_side, stars]
  - rules: {words: {min: 2}}
  - exact_duplicates: {on: image}
  - write"""


def test_a_run_keeps_drops_and_accounts_for_every_picture(photos: Path, tmp_path: Path) -> None:
    write(photos, {"copy.png": picture(2), "copy.txt": b"a copy of b", "bare.txt": b"word"})
    made = make_plan(tmp_path / "run", photos, STEPS, part_samples=3)
    shown = preview(made)
    (entry,) = shown["inputs"]
    assert (entry["format"], entry["files"]) == ("folder", 2)
    run_here(made)
    rows = {(row["source"], row["key"]): row for row in ledger(tmp_path / "run")}
    dropped = {key: row["reason"] for (_, key), row in rows.items() if not row["kept"]}
    assert dropped.pop("b" if "b" in dropped else "copy") == "same_image"
    assert dropped == {
        "bare": "below_minimum",
        "apple": "missing_image",
        "alone": "missing_image",
        "empty": "empty_image",
    }
    assert rows["input/./", "b"]["stars"] == 3
    assert ("input/cats/", "b") in rows
    run = open_run(str(tmp_path / "run"))
    assert list(verify(run, Seen(), deep=True)) == []
    assert stories(run, "twice.png", 1)[0] == 1
    (told,) = stories(run, "empty", 1)[1]
    assert ("from", "input/empty") in _facts(told)
    assert "error_offset" not in told["steps"][0]


def test_the_original_bytes_are_written_and_nothing_is_lost(photos: Path, tmp_path: Path) -> None:
    run_here(make_plan(tmp_path / "run", photos, "  - write"))
    found: dict[str, list[bytes]] = {}
    with tarfile.open(tmp_path / "run/shards/00000.tar") as tar:
        for info in tar:
            file = tar.extractfile(info)
            assert file is not None
            found.setdefault(info.name.partition(".")[2], []).append(file.read())
    assert found["jpg"] == [picture(1), picture(3)]
    assert sorted(found["png"]) == sorted([picture(2), picture(4), picture(7)])
    assert json.dumps({"caption": "from json", "stars": 3}).encode() in found["json"]
    assert len(found["txt"]) == 5


def test_the_same_run_in_other_parts_keeps_the_same(photos: Path, tmp_path: Path) -> None:
    for name, size in (("one", 1), ("all", 100)):
        run_here(make_plan(tmp_path / name, photos, STEPS, part_samples=size))
    one, every = (contents(tmp_path / name / "shards") for name in ("one", "all"))
    assert one == every


def test_a_changed_folder_is_told(photos: Path, tmp_path: Path) -> None:
    run_here(make_plan(tmp_path / "run", photos, STEPS))
    (photos / "b.png").write_bytes(picture(99, 9))
    with pytest.raises(StateError, match="--accept-changed"):
        run_here(make_plan(tmp_path / "run", photos, STEPS))


@pytest.mark.parametrize("ending", [".png", ".txt", ".json"])
def test_a_name_that_is_not_utf_8_ends_the_run(tmp_path: Path, ending: str) -> None:
    folder = write(tmp_path / "in", {"1.png": picture(1), "1.txt": b"one"})
    (folder / os.fsdecode(b"caf\xe9" + ending.encode())).write_bytes(picture(2))
    with pytest.raises(InputError, match=r"the name is not UTF-8, as the ledger's are: rename it"):
        run_here(make_plan(tmp_path / "run", folder, "- write"))
    (folder / os.fsdecode(b"caf\xe9" + ending.encode())).rename(folder / "2.md")
    assert set(rows_of(folder)) == {"1"}
