"""Exact duplicates against brute force over the raw tars; who survives does not depend on any order."""

from __future__ import annotations

import dataclasses
import io
import random
from collections import defaultdict
from collections.abc import Callable, Hashable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tamis.pipeline.steps.duplicates.exact import step as exact
from tamis.pipeline.steps.duplicates.exact.step import Groups, groups
from tamis.pipeline.tables import paths, writing
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.scope import Scope
from tamis.schemas.tables import UID
from tests.support.running import (
    Sample,
    ledger,
    make_plan,
    picture,
    read_tar,
    run_here,
    write_tar,
)


def decoded(sample: Sample) -> Hashable:
    image = Image.open(io.BytesIO(sample.image)).convert("RGBA")
    return image.size, image.tobytes()


def area(sample: Sample) -> int:
    width, height = Image.open(io.BytesIO(sample.image)).size
    return width * height


VALUES: dict[str, Callable[[Sample], Hashable]] = {
    "image": lambda s: s.image,
    "pixels": decoded,
    "pair": lambda s: (s.image, s.text),
    "url_text": lambda s: (s.fields["url"], s.text),
}
GOODNESS: dict[str, Callable[[Sample], int]] = {
    "uid": lambda s: 0,
    "larger": area,
    "{signal: characters}": lambda s: len(s.text),
}
REASONS = {
    "image": "same_image",
    "pixels": "same_pixels",
    "pair": "same_pair",
    "url_text": "same_url_and_text",
}


def repacked(sample: Sample, key: str, **changes: Any) -> Sample:
    """The same pixels in other bytes."""
    out = io.BytesIO()
    Image.open(io.BytesIO(sample.image)).save(out, "PNG", compress_level=0)
    return dataclasses.replace(sample, key=key, image=out.getvalue(), **changes)


@pytest.fixture(scope="module")
def samples(clipart_example: Path) -> list[Sample]:
    """Real pairs with copies of some: of everything, of the picture alone, of its pixels alone, of URL and caption."""
    real = read_tar(clipart_example / "00000.tar")[:60]
    copies = [dataclasses.replace(s, key=f"copy-{s.key}") for s in real[:9]]
    copies += [dataclasses.replace(s, key=f"twice-{s.key}") for s in real[:4]]
    copies += [dataclasses.replace(s, key=f"other-{s.key}", text="other") for s in real[5:14]]
    copies += [repacked(s, f"packed-{s.key}") for s in real[12:20]]
    colours = [picture(7 * i, 4 + i, 5) for i in range(6)]
    copies += [
        dataclasses.replace(s, key=f"shown-{s.key}", image=image)
        for s, image in zip(real[20:26], colours, strict=True)
    ]
    everything = real + copies
    random.Random(5).shuffle(everything)
    return everything


def run_exact(
    folder: Path, files: list[list[Sample]], step: str, part_samples: int = 20
) -> list[dict[str, Any]]:
    for number, members in enumerate(files):
        write_tar(folder / f"{number:05d}.tar", members)
    steps = f"  - signals: [characters]\n  - exact_duplicates: {step}"
    run_here(make_plan(folder / "run", folder / "*.tar", steps, part_samples=part_samples))
    return ledger(folder / "run")


def survivors(
    rows: list[dict[str, Any]], raw: dict[str, Sample], on: str, prefer: str
) -> dict[str, str]:
    """uid of every dropped sample -> uid of who was kept in its place; all pairs are looked at."""
    groups = defaultdict(list)
    for row in rows:
        groups[VALUES[on](raw[row["key"]])].append(row)
    survivor: dict[str, str] = {}
    for members in groups.values():
        size = {row["uid"]: GOODNESS[prefer](raw[row["key"]]) for row in members}
        best = min(size, key=lambda uid: (-size[uid], uid))
        survivor |= {uid: best for uid in size if uid != best}
    return survivor


@pytest.mark.parametrize("on", sorted(VALUES))
@pytest.mark.parametrize("prefer", sorted(GOODNESS))
def test_dropped_is_what_brute_force_drops(
    on: str, prefer: str, samples: list[Sample], tmp_path: Path
) -> None:
    files = [samples[:50], samples[50:51], samples[51:]]
    rows = run_exact(tmp_path, files, f"{{on: {on}, prefer: {prefer}}}")
    raw = {sample.key: sample for sample in samples}
    expected = survivors(rows, raw, on, prefer)
    assert len(expected) >= 9
    dropped = {row["uid"]: row for row in rows if not row["kept"]}
    assert {uid: row["survivor_uid"] for uid, row in dropped.items()} == expected
    for row in dropped.values():
        assert row["reason"] == REASONS[on]
        assert (row["partner_uid"], row["partner_value"]) == (row["survivor_uid"], 1.0)


def test_among_the_dead_nobody_survives(samples: list[Sample], tmp_path: Path) -> None:
    """A copy that an earlier step dropped neither survives nor is dropped again."""
    tar = write_tar(tmp_path / "a.tar", samples)
    steps = """
  - signals: [characters]
  - rules: {characters: {min: 30}}
  - exact_duplicates: {on: image}"""
    run_here(make_plan(tmp_path / "run", tar, steps, part_samples=20))
    rows = ledger(tmp_path / "run")
    raw = {sample.key: sample for sample in samples}
    living = [row for row in rows if len(row["text"]) >= 30]
    assert 0 < len(living) < len(rows)
    expected = survivors(living, raw, "image", "uid")
    dropped = {r["uid"]: r["survivor_uid"] for r in rows if r["step"] == "exact_duplicates"}
    assert dropped == expected


def test_a_sample_without_a_value_has_no_duplicates(tmp_path: Path) -> None:
    image = picture(1)
    bare = [Sample(f"bare-{i}", image, "same text", {}) for i in range(3)]
    bare += [Sample(f"void-{i}", image, "same text", {"url": ""}) for i in range(2)]
    linked = [Sample(f"link-{i}", image, "same text", {"url": "https://a.example"}) for i in (1, 2)]
    rows = run_exact(tmp_path, [bare + linked], "{on: url_text}")
    kept = sorted(row["key"][:4] for row in rows if row["kept"])
    assert kept == ["bare", "bare", "bare", "link", "void", "void"]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=5),
    st.sets(st.integers(1, 60), max_size=4),
    st.integers(1, 30),
)
def test_a_bucket_in_passes_is_the_bucket_at_once(
    drawn: list[tuple[int, int]], cuts: list[int], starts: set[int], held: int
) -> None:
    """However its rows are cut into pieces, ranges and batches. One key may have them all."""
    order = random.Random(len(drawn)).sample(range(len(drawn)), len(drawn))
    table = pa.table(
        {
            "key": pa.array([bytes([key]) * 16 for key, _ in drawn], UID),
            "uid": pa.array([number.to_bytes(16, "big") for number in order], UID),
            "sid": np.arange(len(drawn)),
            "preference": np.array([float(value) for _, value in drawn]),
        }
    )
    edges = sorted({0, *cuts, len(drawn)} & set(range(len(drawn) + 1)))
    with TemporaryDirectory() as root:
        pieces = [table.slice(a, b - a) for a, b in pairwise(edges)]
        path = paths.table("exact_duplicates", "keys", "bundle-00000")
        file = writing.write(root, path, "0" * 32, pieces, dict)
        slices = [file.slice(group) for group in range(len(pieces))]
        task = Task(Scope.BUCKET, 0, {"keys": slices}, Groups([0, *sorted(starts)]))
        with pytest.MonkeyPatch.context() as patch:
            at_once = list(groups(TaskIo(root, task, "none")))
            patch.setattr(exact, "HELD_ROWS", held)
            in_passes = list(groups(TaskIo(root, task, "none")))
    assert len(at_once) == len(in_passes) == 1 + len(starts)
    for one, other in zip(at_once, in_passes, strict=True):
        assert one.sort_by("sid").equals(other.sort_by("sid").combine_chunks())
