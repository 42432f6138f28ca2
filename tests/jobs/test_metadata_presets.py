"""The presets over metadata alone, on tables with the columns that LAION and DataComp publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.load import Request, load
from tamis.pipeline.runs import plan
from tests.support.running import ledger, run_here, subset_uids

ROWS = 400


def drawn(seed: int) -> tuple[np.random.Generator, dict[str, Any]]:
    """URLs and captions, of which the last tenth repeats the first."""
    rng = np.random.default_rng(seed)
    number = np.arange(ROWS)
    number[-ROWS // 10 :] = number[: ROWS // 10]
    words = rng.integers(1, 6, ROWS)[number]
    texts = [
        " ".join(f"w{n}x{i}" for i in range(count)) for n, count in zip(number, words, strict=True)
    ]
    return rng, {"url": [f"http://e.org/{n}" for n in number], "text": texts}


def kept_of(preset: str, folder: Path, *settings: str) -> list[dict[str, Any]]:
    """The ledger's rows of a run of the preset over ``folder``."""
    request = Request(preset, [str(folder / "*.parquet")], str(folder / "run"), settings)
    run_here(plan.make(load(request)))
    return ledger(folder / "run")


def first_of_each(table: pa.Table, passing: list[bool]) -> set[tuple[str, str]]:
    """(URL, caption) of what passes: of equal ones one is kept."""
    pairs = zip(table["url"].to_pylist(), table["text"].to_pylist(), strict=True)
    return {pair for pair, good in zip(pairs, passing, strict=True) if good}


@pytest.fixture
def laion(tmp_path: Path) -> pa.Table:
    """LAION-400M's columns, and `punsafe` of the later sets; a row in twenty has no similarity."""
    rng, common = drawn(1)
    similarity = rng.uniform(0.2, 0.4, ROWS)
    table = pa.table(
        {
            "SAMPLE_ID": pa.array(np.arange(ROWS) * 7.0),
            "URL": common["url"],
            "TEXT": common["text"],
            "HEIGHT": rng.integers(100, 900, ROWS),
            "WIDTH": rng.integers(100, 900, ROWS),
            "LICENSE": ["?"] * ROWS,
            "NSFW": rng.choice(["UNLIKELY", "UNSURE", "NSFW"], ROWS, p=[0.8, 0.1, 0.1]),
            "similarity": pa.array(similarity, mask=rng.random(ROWS) < 0.05),
            "punsafe": rng.random(ROWS),
        }
    )
    pq.write_table(table, tmp_path / "part-0.parquet")
    return table.rename_columns([name.lower() for name in table.column_names])


@pytest.mark.parametrize("safety", ["nsfw", "punsafe"])
def test_laions_metadata_is_filtered_by_its_own_columns(
    tmp_path: Path, laion: pa.Table, safety: str
) -> None:
    settings = [
        "signals.names=[characters, min_side, similarity, punsafe]",
        "rules.bounds={characters: {min: 5}, min_side: {min: 200}, similarity: {min: 0.28}, punsafe: {max: 0.5}}",
    ]
    rows = kept_of("laion-metadata", tmp_path, *(settings if safety == "punsafe" else []))
    passing = [
        len(row["text"]) >= 5
        and min(row["width"], row["height"]) >= 200
        and (row["similarity"] or 0) >= 0.28
        and (row["nsfw"] == "UNLIKELY" if safety == "nsfw" else row["punsafe"] <= 0.5)
        for row in laion.to_pylist()
    ]
    kept = [(row["url"], row["text"]) for row in rows if row["kept"]]
    assert 20 < len(kept) == len(set(kept))
    assert set(kept) == first_of_each(laion, passing)
    assert {"no_value", "same_url_and_text"} <= {row["reason"] for row in rows}
    result = pq.read_table(tmp_path / "run/shards/00000.parquet")
    assert {"LICENSE", "NSFW", "similarity", "SAMPLE_ID"} <= set(result.column_names)


def test_commonpool_is_filtered_by_its_stored_score(tmp_path: Path) -> None:
    rng, common = drawn(2)
    score = rng.uniform(0.1, 0.4, ROWS).round(2)  # ties
    table = pa.table(
        {
            "uid": [f"{n:032x}" for n in range(ROWS)],
            **common,
            "original_width": rng.integers(100, 900, ROWS),
            "original_height": rng.integers(100, 900, ROWS),
            "clip_b32_similarity_score": rng.random(ROWS),
            "clip_l14_similarity_score": score,
            "face_bboxes": pa.array([[[0.1, 0.2, 0.3, 0.4]]] * ROWS),
            "sha256": [f"{n:064x}" for n in range(ROWS)],
        }
    )
    pq.write_table(table, tmp_path / "pool.parquet")
    rows = kept_of("commonpool", tmp_path)
    basic = [
        len(row["text"].split()) >= 3
        and len(row["text"]) >= 6
        and min(sides := (row["original_width"], row["original_height"])) >= 200
        and max(sides) / min(sides) <= 3
        for row in table.to_pylist()
    ]
    best = np.sort(score[basic])[::-1]
    bound = best[min(len(best), round(ROWS * 0.3)) - 1]
    passing = [good and value >= bound for good, value in zip(basic, score, strict=True)]
    kept = [(row["url"], row["text"]) for row in rows if row["kept"]]
    assert 20 < len(kept) == len(set(kept))
    assert set(kept) == first_of_each(table, passing)
    uids = [row["uid"] for row in rows if row["kept"]]
    assert subset_uids(tmp_path / "run") == sorted(uids)
    assert "face_bboxes" in pq.read_table(tmp_path / "run/shards/00000.parquet").column_names
