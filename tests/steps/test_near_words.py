"""Near captions by words, in scripts that write blanks between them and in others."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.algorithms.near_captions import segmentation
from tamis.schemas.errors import JobError
from tests.support.running import ledger, make_plan, run_here

pytest.importorskip("icu4py")

CAPTIONS = [
    "我们在公园里散步和看白色的云",
    "在公园里我们散步和看白色的云",  # the same words in another order
    "北京大学的图书馆",
    "แมวนั่งอยู่บนเก้าอี้",
    "บนเก้าอี้แมวนั่งอยู่",
    "a red fox in the snow",
    "in the snow a red fox",
]


def survivors(folder: Path, settings: str) -> list[int | None]:
    """The row of each one's survivor, or None."""
    folder.mkdir(exist_ok=True)
    uid = [f"{row:032x}" for row in range(len(CAPTIONS))]
    if not (folder / "a.parquet").exists():
        pq.write_table(pa.table({"uid": uid, "text": CAPTIONS}), folder / "a.parquet")
    steps = f"  - near_duplicates: {{agree: none, jaccard: 0.99, ngram: 1, {settings}}}"
    run_here(make_plan(folder / "run", folder / "a.parquet", steps))
    found = [row["survivor_uid"] for row in ledger(folder / "run")]
    return [int(uid, 16) if uid else None for uid in found]


def test_words_of_scripts_without_blanks_are_found_where_it_is_asked_for(tmp_path: Path) -> None:
    """In one run directory: with another setting the captions are cut again."""
    plain = survivors(tmp_path / "a", "unit: word")
    assert plain == [None, None, None, None, None, None, 5]
    found = survivors(tmp_path / "a", "unit: word, segment: true")
    assert found == [None, 0, None, None, 3, None, 5]
    assert survivors(tmp_path / "a", "unit: word") == plain


def test_only_words_are_segmented(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="`segment: true` says nothing here, it belongs to `unit: w"):
        survivors(tmp_path / "a", "unit: char, segment: true")


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "PACKAGE", "no-such-package")
    with pytest.raises(JobError, match=r"segment needs the extra `signals` \(no-such-package\)"):
        survivors(tmp_path / "a", "unit: word, segment: true")
    assert survivors(tmp_path / "b", "unit: word")[-1] == 5
