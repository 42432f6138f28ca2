"""Captions drawn as shapes that are hard on a search of duplicates: long paths, and very many equals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.reading.pairs import remarks
from tamis.pipeline.steps.duplicates import grouping, leading
from tests.support import duplicates
from tests.support.running import ledger, make_plan, run_here

PATH = 100_000
EQUALS = 1_000_000
WORDS = 9
"""Of a caption: 8 are those of the next one, J .8; 7 those of the one after it, J .64."""
STEP = "  - near_duplicates: {agree: none, unit: word, ngram: 1, jaccard: 0.75}"


def write(folder: Path, captions: Sequence[str], order: Sequence[int]) -> None:
    """The captions as metadata, the rows in some order; uids are in the order of the captions."""
    table = {
        "uid": [f"{row:032x}" for row in order],
        "text": [captions[row] for row in order],
    }
    pq.write_table(pa.table(table), folder / "a.parquet")


def decided(folder: Path, step: str = STEP, **job: Any) -> list[dict[str, Any]]:
    run_here(make_plan(folder / "run", folder / "a.parquet", step, **job))
    return ledger(folder / "run")


def word(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()[:10]


def path(folder: Path, length: int) -> list[str]:
    """Captions of which each is alike to the one before and the one behind alone, in any order."""
    words = [word(number) for number in range(length + WORDS)]
    captions = [" ".join(words[row : row + WORDS]) for row in range(length)]
    write(folder, captions, sorted(range(length), key=word))
    return captions


def pairs_of(folder: Path) -> list[tuple[int, int]]:
    """The stored edges of a path: each with the one before."""
    stored = duplicates.edges(folder / "run", "near_duplicates", ("seen",), "jaccard")
    found = sorted((int(a, 16), int(b, 16)) for a, b in stored)
    assert all(b == a + 1 for a, b in found)
    assert set(stored.values()) == {0.8}
    return found


@pytest.mark.slow
def test_a_path_in_the_order_of_preference_is_decided_as_one_after_another(tmp_path: Path) -> None:
    path(tmp_path, PATH)
    rows = decided(tmp_path)
    found = pairs_of(tmp_path)
    assert len(found) > 0.98 * PATH  # the bands miss a few
    alike = {b for _, b in found}
    kept: list[bool] = []
    for place in range(PATH):
        kept.append(not (place in alike and kept[place - 1]))
    assert {int(row["uid"], 16): row["kept"] for row in rows} == dict(enumerate(kept))
    for row in rows:
        if not row["kept"]:
            assert int(row["survivor_uid"], 16) == int(row["uid"], 16) - 1


@pytest.mark.slow
def test_a_path_too_long_for_rounds_is_decided_by_hash_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then too each falls for a kept one that it is alike to, and no two kept ones are alike."""
    monkeypatch.setattr(grouping, "EDGES", 50)
    monkeypatch.setattr(grouping, "PARTITION", 200)
    monkeypatch.setattr(leading, "ROUNDS", 8)
    path(tmp_path, 400)
    rows = decided(tmp_path)
    found = pairs_of(tmp_path)
    kept = {int(row["uid"], 16): row["kept"] for row in rows}
    assert not [pair for pair in found if kept[pair[0]] and kept[pair[1]]]
    for row in rows:
        if not row["kept"]:
            ends = sorted(int(row[name], 16) for name in ("uid", "survivor_uid"))
            assert tuple(ends) in found
            assert kept[int(row["survivor_uid"], 16)]
    run = open_run(str(tmp_path / "run"))
    with sql.connect(run, tables=False) as connection:
        lines = remarks(run, connection)
    (line,) = [line for line in lines if "in the order of a hash" in line]
    told = int(line.split()[1].replace(",", ""))
    assert 0 < told < len(rows)


@pytest.mark.slow
@pytest.mark.long
def test_of_a_million_equals_the_first_is_kept(tmp_path: Path) -> None:
    captions = ["The same caption, a million times over"] * EQUALS
    write(tmp_path, captions, sorted(range(EQUALS), key=word))
    rows = decided(tmp_path)
    assert [int(row["uid"], 16) for row in rows if row["kept"]] == [0]
    assert {row["survivor_uid"] for row in rows if not row["kept"]} == {f"{0:032x}"}
    assert len(rows) == EQUALS
