"""The questions about a small pool: what their inputs are, one of them to its end, and a CLIP that is trained on it."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.benchmarks import small_pool, train_icons
from tests.benchmarks.make_icons import HELD
from tests.benchmarks.small_pool import Case, Showcase
from tests.benchmarks.test_showcase import inside
from tests.support.running import Sample, write_tar

POOL, TESTED = 120, 40


def picture(row: int) -> bytes:
    """Squares of colours that no other row has."""
    out = io.BytesIO()
    levels = np.random.default_rng(row).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(levels).resize((64, 64), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def show(tmp_path: Path) -> Path:
    """What a showcase of two held-out sets leaves."""
    return left_by_showcase(tmp_path, ["mine"] * POOL)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """One whose pool has two sets, of which `mine` is set aside for trusted pairs."""
    return left_by_showcase(tmp_path, ["mine"] * POOL + ["theirs"] * 2 * POOL)


def left_by_showcase(tmp_path: Path, pool: list[str]) -> Path:
    """Pairs of a pool's sets and two held-out ones: each picture and its caption have nearly the same vector."""
    sets = pool + [HELD[0]] * TESTED + [HELD[1]] * TESTED
    draw, n = np.random.default_rng(0), len(sets)
    columns = {
        "key": [f"k{row}" for row in range(n)],
        "image": [picture(row) for row in range(n)],
        "text": [f"word{row} word{row % 7}" for row in range(n)],
        "set": sets,
    }
    (tmp_path / "show/in").mkdir(parents=True)
    pq.write_table(pa.table(columns), tmp_path / "show/in/pairs.parquet")
    vectors = draw.standard_normal((n, 8))
    for name, noise in (("image", 0.0), ("text", 0.5), ("outlines", 0.2)):
        told = vectors + noise * draw.standard_normal((n, 8))
        np.save(tmp_path / f"show/in/{name}.npy", told.astype(np.float16))
    return tmp_path / "show"


def written(show: Showcase, folder: Path, case: Case) -> pa.Table:
    show.write(folder, case)
    return pq.read_table(folder / "pairs.parquet")


def test_captions_are_exchanged_in_the_pool_alone(show: Path, tmp_path: Path) -> None:
    made = Showcase(show / "in", 100)
    plain = written(made, tmp_path / "plain", made.case("plain"))
    noisy = written(made, tmp_path / "noisy", made.case("noisy", 0.4))
    assert plain["uid"].equals(noisy["uid"])
    other = np.array(plain["text"].to_pylist()) != np.array(noisy["text"].to_pylist())
    assert other.sum() == 40
    assert not other[100:].any()
    told = [np.load(tmp_path / name / "text.npy") for name in ("plain", "noisy")]
    assert ((told[0] != told[1]).any(axis=1) == other).all()
    assert sorted(noisy["text"].to_pylist()) == sorted(plain["text"].to_pylist())
    seen = [np.load(tmp_path / name / "image.npy") for name in ("plain", "noisy")]
    assert (seen[0] == seen[1]).all()


def test_copies_are_other_samples_of_the_same_pair(show: Path, tmp_path: Path) -> None:
    made = Showcase(show / "in", 20)
    rows = np.repeat(made.pool, 3)
    table = written(made, tmp_path / "copies", Case("copies", "copies", rows, rows))
    assert set(Counter(table["key"].to_pylist()).values()) == {3}
    assert len(set(table["uid"].to_pylist())) == len(set(table["noise"].to_pylist())) == 60


def test_the_pool_has_nothing_of_what_is_held_out(show: Path) -> None:
    made = Showcase(show / "in", POOL)
    assert set(made.set[made.pool].tolist()) == {"mine"}
    assert len(made.held) == 2 * TESTED
    assert (np.sort(made.pool) == np.arange(POOL)).all()


@pytest.mark.slow
def test_a_question_is_answered_by_the_commands(
    show: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(small_pool, "tamis", inside)
    monkeypatch.setattr(small_pool, "COPIES", 3)
    options = ["--pairs", str(POOL), "--seeds", "2", "--steps", "5"]
    small_pool.main([str(show), str(tmp_path / "out"), "fails", *options])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    found = {tuple(line.removeprefix("| ").split(" | ")[:2]) for line in lines}
    for case in ("shuffled", "copies", "noise"):
        assert {(case, name) for name in ("random", "deduplicated", "score", "full")} <= found


@pytest.mark.slow
def test_filter_networks_of_trusted_pairs_are_compared(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(small_pool, "tamis", inside)
    options = ["--pairs", str(2 * POOL), "--seeds", "2", "--steps", "5"]
    small_pool.main([str(wide), str(tmp_path / "out"), "trusted", *options])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    found = Counter(tuple(line.removeprefix("| ").split(" | ")[:2]) for line in lines[1:])
    other = ["random", "density", "similarity", "pair-other", "classifier-other"]
    own = ["pair-own", "classifier-own"]
    assert found == Counter(
        {("clean", name): 2 for name in other} | {("noisy", name): 2 for name in other + own}
    )


def test_trusted_pairs_are_of_sets_that_the_pool_lacks(wide: Path) -> None:
    made, rows = Showcase(wide / "in", 2 * POOL).set_aside()
    assert {*made.set[rows].tolist()} == {"mine"}
    assert {*made.set[made.pool].tolist()} == {"theirs"}
    assert (len(rows), len(made.pool)) == (POOL, 2 * POOL)


def test_what_was_checked_has_its_own_caption(show: Path, tmp_path: Path) -> None:
    made = Showcase(show / "in", POOL)
    table = written(made, tmp_path / "noisy", made.case("noisy", 0.4))
    plain = pq.read_table(show / "in/pairs.parquet")
    told = dict(zip(plain["key"].to_pylist(), plain["text"].to_pylist(), strict=True))
    right = [row["checked"] for row in table.to_pylist() if row["text"] == told[row["key"]]]
    assert sum(table["checked"].to_pylist()) == sum(right) == POOL - 48


@pytest.mark.slow
def test_a_clip_is_trained_on_what_three_runs_wrote(
    show: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train_icons, "tamis", inside)
    held = [Sample(f"h{row}", picture(1_000 + row), f"held{row}", {}) for row in range(30)]
    write_tar(tmp_path / "icons/held/birds.tar", held)
    paths = [str(tmp_path / "icons"), str(show), str(tmp_path / "out")]
    options = ["--pairs", str(POOL), "--held", "birds"]
    train_icons.main([*paths, *options, "--steps", "3", "--batch", "8", "--seeds", "2"])
    told = capsys.readouterr().out.splitlines()
    assert any("'held_out': 30, 'left_out': 0" in line for line in told)
    rows = [line.strip("| ").split(" | ")[0] for line in told if line.startswith("| ")]
    assert rows == ["trained on", "chosen", "random", "all"]
    kept = {name: pq.read_table(tmp_path / f"out/{name}/ledger")["kept"] for name in rows[1:]}
    counts = {name: sum(column.to_pylist()) for name, column in kept.items()}
    assert counts == {"chosen": POOL // 5, "random": POOL // 5, "all": POOL}
