"""A tar whose samples are in pieces is told with the command that brings them together."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tamis.jobs.job_files.draft import fitted
from tamis.jobs.job_files.first_look import SAMPLES
from tamis.pipeline.planning.preview import preview
from tests.jobs.test_odd_forms import CAPTIONS, COUNT, PICTURES, sound
from tests.support.running import make_plan
from tests.support.tars import make_tar

MANY = SAMPLES + 100


def torn(pictures: str, texts: str, count: int) -> bytes:
    """All pictures first, then all captions."""
    members = [(f"{pictures}{i}.png", PICTURES[i % COUNT]) for i in range(count)]
    return make_tar([*members, *((f"{texts}{i}.txt", CAPTIONS[0].encode()) for i in range(count))])


FORMS = {
    "apart": ("", "", COUNT),
    "far apart": ("", "", MANY),
    "in folders": ("images/", "texts/", COUNT),
    "in folders, far apart": ("a/images/", "a/labels/", MANY),
    "in one folder": ("data/", "data/", COUNT),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_command_that_is_told_makes_it_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / "0.tar"
    path.write_bytes(torn(*FORMS[name]))
    command = re.search(r"sort the tar: (python -c \".*\")", fitted([str(path)]))
    assert command is not None
    (note,) = preview(make_plan(tmp_path / "run", path, "\n  - write"))["notes"]
    assert command[1] in note
    subprocess.run([sys.executable, *shlex.split(command[1])[1:]], check=True)
    text = fitted([str(tmp_path / "0-sorted.tar")])
    assert "captions: none" not in text
    assert "sort the tar" not in text
    assert sound(text) == (FORMS[name][2],) * 2


def test_pictures_alone_are_not_torn(tmp_path: Path) -> None:
    members = [(f"train/{i}.png", PICTURES[i]) for i in range(COUNT)]
    (tmp_path / "0.tar").write_bytes(make_tar(members))
    assert "sort the tar" not in fitted([str(tmp_path)])
