"""Pictures by their endings: all names of JPEG are read, and those that are not decoded are named."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.inputs.entries import listed
from tamis.pipeline.inputs.suffixes import OF_JPEG, OTHER_PICTURES, RAW_PICTURES
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.job import Input
from tests.support.running import ledger, make_plan, picture, run_here


def jpeg(colour: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(out, "JPEG")
    return out.getvalue()


def members(tar: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(tar) as opened:
        for info in opened:
            file = opened.extractfile(info)
            assert file is not None
            found[info.name.partition(".")[2]] = file.read()
    return found


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ending", sorted({*OF_JPEG, "JFIF"}))
def test_every_name_of_jpeg_is_read_and_written_as_jpg(
    tmp_path: Path, ending: str, packed: bool
) -> None:
    (tmp_path / "in").mkdir()
    files = {f"1.{ending}": jpeg(1), "1.txt": b"one", "1.json": b'{"a": 1}'}
    for name, data in files.items():
        (tmp_path / "in" / name).write_bytes(data)
    path = tmp_path / "in"
    if packed:
        path = tmp_path / "0.tar"
        with tarfile.open(path, "w") as tar:
            for name in files:
                tar.add(tmp_path / "in" / name, name)
    run_here(make_plan(tmp_path / "run", path, "- write"))
    assert [row["kept"] for row in ledger(tmp_path / "run")] == [True]
    found = members(tmp_path / "run/shards/00000.tar")
    assert found["jpg"] == jpeg(1)
    assert ending.lower() not in found
    assert found["txt"] == b"one"
    assert list(verify(open_run(str(tmp_path / "run")), Seen(), deep=True)) == []


def test_a_plain_jpg_of_the_name_counts_before_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in/0.tar", "w") as tar:
        for name, data in (("1.jfif", jpeg(1)), ("1.jpg", jpeg(2)), ("1.txt", b"one")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    run_here(make_plan(tmp_path / "run", tmp_path / "in/0.tar", "- write"))
    found = members(tmp_path / "run/shards/00000.tar")
    assert (found["jpg"], found["jfif"]) == (jpeg(2), jpeg(1))


@pytest.mark.parametrize("ending", sorted(RAW_PICTURES))
def test_what_is_not_decoded_is_named(tmp_path: Path, ending: str) -> None:
    mend = rf"\.{ending} is a picture that is not decoded: make JPEG, PNG or WebP of it"
    for number in range(3):
        (tmp_path / f"{number}.{ending}").touch()
    with pytest.raises(InputError, match=rf"a directory of 3 \.{ending}: {mend}"):
        listed(Input(path=(str(tmp_path),)))
    with pytest.raises(JobError, match=mend):
        listed(Input(path=(f"{tmp_path}/*",)))
    (tmp_path / "1.png").write_bytes(picture(1))
    files, notes = listed(Input(path=(str(tmp_path),)))
    assert [file.relative for file in files] == ["./"]
    assert f"0.{ending} lies there too and is not read" in notes[0]
    assert f"2 .{ending} lie there too and are not read" in notes[1]


@pytest.mark.parametrize("ending", sorted(OTHER_PICTURES))
def test_one_that_a_pattern_names_gets_the_mend(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"1.{ending}").touch()
    with pytest.raises(JobError, match=rf"\.{ending} is a picture that is not decoded"):
        listed(Input(path=(f"{tmp_path}/*",)))
