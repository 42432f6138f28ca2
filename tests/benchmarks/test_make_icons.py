"""The maker of icons: the same bytes every time, whole sets held out, and no set whose licence restricts its use."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.make_icons import A_TAR, HELD, Package, is_restricted, make
from tests.benchmarks.showcase import read
from tests.support.running import contents, read_tar

SQUARE = '<path fill="currentColor" d="M2 2h12v12H2z"/>'
DISC = '<circle cx="8" cy="8" r="7" fill="#c00"/>'

SETS: dict[str, tuple[str, dict[str, Any]]] = {
    HELD[0]: ("CC-BY-4.0", {"red-disc": {"body": DISC}, "black-square": {"body": SQUARE}}),
    "shapes": (
        "MIT",
        {
            "black-square": {"body": SQUARE},
            "old-square": {"body": SQUARE, "hidden": True},
            "no-drawing": {"body": "<path d="},
            "no-height": {"body": SQUARE, "height": 0},
            "wide_disc": {"body": DISC, "width": 32},
        },
    ),
    "others": ("CC0-1.0", {"small-disc": {"body": DISC}}),
    "restricted": ("CC-BY-NC-SA-4.0", {"red-disc": {"body": DISC}}),
}


@pytest.fixture
def package(tmp_path: Path) -> str:
    """An archive as npm packs it, of four small sets."""
    files: dict[str, Any] = {"collections.json": {}}
    for prefix, (licence, icons) in SETS.items():
        about: dict[str, Any] = {
            "name": prefix.title(),
            "license": {"spdx": licence, "url": "https://example.org"},
        }
        about["total"] = sum(not icon.get("hidden") for icon in icons.values())
        files["collections.json"][prefix] = about
        files[f"json/{prefix}.json"] = {
            "icons": icons,
            "width": 16,
            "height": 16,
            "categories": {"Shapes": ["black-square"]},
        }
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as tar:
        for name, value in files.items():
            data = json.dumps(value).encode()
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(tmp_path / "package.tgz")


def test_it_writes_the_same_bytes_with_any_number_of_processes(
    package: str, tmp_path: Path
) -> None:
    counts = [make(package, tmp_path / str(n), None, 64, n) for n in (1, 2)]
    assert counts[0] == counts[1] == {"pool": 3, "held": 2, "failed": 2}
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_a_pair_has_picture_name_licence_and_tags(package: str, tmp_path: Path) -> None:
    make(package, tmp_path / "out", None, 64, 1)
    samples = {sample.text: sample for sample in read_tar(tmp_path / "out/pool/00000.tar")}
    assert set(samples) == {"black square", "wide disc", "small disc"}  # the hidden one is not
    picture = Image.open(io.BytesIO(samples["black square"].image))
    assert picture.size == (64, 64)
    assert picture.convert("RGB").getpixel((32, 32)) == (0x22, 0x22, 0x22)
    assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    assert Image.open(io.BytesIO(samples["wide disc"].image)).size == (128, 64)
    about = samples["black square"].fields
    assert (about["set"], about["licence"], about["tags"]) == ("shapes", "MIT", ["Shapes"])


def test_whole_sets_are_held_out_and_restricted_ones_left_out(package: str, tmp_path: Path) -> None:
    make(package, tmp_path / "out", None, 32, 1)
    held = read_tar(tmp_path / "out" / "held" / f"{HELD[0]}.tar")
    assert [sample.text for sample in held] == ["red disc", "black square"]
    with open(tmp_path / "out" / "sets.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    told = {line["set"]: (line["licence"], line["written_to"], line["pairs"]) for line in lines}
    assert told == {
        HELD[0]: ("CC-BY-4.0", "held", "2"),
        "shapes": ("MIT", "pool", "2"),
        "others": ("CC0-1.0", "pool", "1"),
    }


def test_a_smaller_pool_has_a_share_of_every_set(package: str) -> None:
    """The same icons each time, and all of a smaller share in a larger one."""
    with Package.unpacked(package) as source:
        assert source.share(["shapes", "others"], None) == 1
        assert source.share(["shapes", "others"], 2) == pytest.approx(2 / 5)
        assert source.share(["shapes", "others"], 1000) == 1
        chosen = [
            {icon.caption for icon in source.collection("shapes", share).icons}
            for share in (0.0, 0.3, 0.6, 1.0)
        ]
    assert chosen[0] == set()
    assert chosen[0] <= chosen[1] <= chosen[2] <= chosen[3]
    assert len(chosen[3]) == 4
    assert A_TAR == 10_000


@pytest.mark.parametrize(
    ("licence", "restricted"),
    [
        ("CC-BY-NC-4.0", True),
        ("CC BY-NC-SA", True),
        ("Creative Commons NonCommercial", True),
        ("MIT", False),
        ("NCSA", False),
        ("CC-BY-SA-4.0", False),
    ],
)
def test_licences_that_exclude_commercial_use(licence: str, restricted: bool) -> None:
    assert is_restricted(licence) == restricted


def test_the_showcase_reads_what_was_made(package: str, tmp_path: Path) -> None:
    """A set's name is the first part of a key; equal drawings and names have equal features."""
    make(package, tmp_path / "icons", None, 64, 1)
    found = read(tmp_path / "icons")
    assert Counter(found.of.tolist()) == {HELD[0]: 2, "shapes": 2, "others": 1}
    assert len(set(found.key)) == len(found.text) == len(found.picture) == len(found.caption) == 5
    first, second = (row for row, text in enumerate(found.text) if text == "black square")
    assert np.array_equal(found.picture[first], found.picture[second])
    assert np.array_equal(found.caption[first], found.caption[second])
    assert found.caption.any(axis=1).all()
    disc = found.text.index("small disc")
    assert not np.allclose(found.picture[first], found.picture[disc])
    assert np.isfinite(found.picture).all()
