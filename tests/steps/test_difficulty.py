"""The step `difficulty`: its references are the smallest hashes of what reaches it, and its signal chooses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing.difficulty import References
from tamis.schemas.errors import JobError, TamisError
from tests.algorithms.test_difficulty import pairs
from tests.support.embedded import Samples, by_uid, run_one, run_steps, unit, write_input


def pool(folder: Path, count: int) -> tuple[Samples, dict[str, str], np.ndarray]:
    image, text = pairs(count, 12, 5)
    draw = np.random.default_rng(6)
    made = Samples(
        [draw.bytes(16).hex() for _ in range(count)],
        image,
        {"quality": [float(n % 4) for n in range(count)]},
    )
    entry = write_input(folder, made, 3)
    for number, rows in enumerate(np.array_split(np.arange(count), 3)):
        np.save(folder / f"text_emb_{number:05d}.npy", text[rows])
    return made, {**entry, "text_embeddings": f"{folder}/text_emb_*.npy"}, text


def test_references_are_the_smallest_hashes_of_what_reaches_it(tmp_path: Path) -> None:
    made, entry, text = pool(tmp_path / "in", 90)
    steps = (
        "- signals: [quality]\n- rules: {quality: {min: 1}}\n"
        "- difficulty: {name: fit, references: 20, temperature: 0.05}\n"
        "- score: {signal: fit, keep: 25}"
    )
    run_steps(tmp_path / "run", [entry], steps, part_samples=11)
    reaching = np.array([n for n in range(90) if n % 4])
    uid = order.parse([made.uid[n] for n in reaching])
    chosen = np.argsort(order.hashed(uid, 42, "references"))[:20]
    own = np.full(len(reaching), -1)
    own[chosen] = np.arange(20)
    known = reaching[chosen]
    # The embeddings are stored at length 1 again, as halves: the last bits differ.
    value = References(made.vectors[known], text[known]).difficulty(
        made.vectors[reaching], text[reaching], own, "cliploss", 0.05
    )
    decided = by_uid(tmp_path / "run")
    stored = [decided[made.uid[n]]["fit"] for n in reaching]
    assert stored == pytest.approx(value, abs=1e-3)
    best = {made.uid[n] for n in reaching[np.argsort(-np.array(stored))[:25]]}
    assert {uid for uid, row in decided.items() if row["kept"]} == best
    assert decided[made.uid[0]]["fit"] is None


def test_it_needs_captions(tmp_path: Path) -> None:
    made, _, _ = pool(tmp_path / "in", 6)
    with pytest.raises(JobError, match="`embed` embeds pictures alone: use an encoder with"):
        run_one(tmp_path / "bare", made, "- difficulty")


def measured(run: Path, made: Samples, name: str = "fit") -> np.ndarray:
    rows = by_uid(run)
    return np.array([rows[uid][name] for uid in made.uid])


def swapped(folder: Path, count: int, wrong: int) -> tuple[Samples, dict[str, str]]:
    """Pairs of which the first ``wrong`` have each other's captions; their vectors are views of hidden meanings."""
    draw = np.random.default_rng(11)
    hidden = draw.standard_normal((count, 6))
    image, text = (
        unit(hidden @ draw.standard_normal((6, 12)) + 0.1 * draw.standard_normal((count, 12)))
        for _ in range(2)
    )
    text[:wrong] = np.roll(text[:wrong], 1, axis=0)
    made = Samples([draw.bytes(16).hex() for _ in range(count)], image, {})
    entry = write_input(folder, made, 2)
    for number, rows in enumerate(np.array_split(np.arange(count), 2)):
        np.save(folder / f"text_emb_{number:05d}.npy", text[rows])
    return made, {**entry, "text_embeddings": f"{folder}/text_emb_*.npy"}


def area(value: np.ndarray, wrong: int) -> float:
    """Probability that a wrong pair has a larger value than a right one."""
    ranks = np.argsort(np.argsort(value))
    return float((ranks[:wrong].sum() - wrong * (wrong - 1) / 2) / (wrong * (len(value) - wrong)))


def test_wrong_captions_have_a_high_loss_and_nothing_to_learn(tmp_path: Path) -> None:
    """The encoder's own cosines say nothing here: only heads tell."""
    _, clean = swapped(tmp_path / "clean", 300, 0)
    run_steps(tmp_path / "good", [clean], "")
    made, entry = swapped(tmp_path / "in", 300, 60)
    steps = (
        "- difficulty: {name: cosines}\n"
        "- difficulty: {name: fit, measure: loss, references: 100, steps: 80, runs: 2}\n"
        f"- difficulty: {{name: learn, measure: learnability, trusted: {tmp_path}/good, references: 100, runs: 2}}"
    )
    run_steps(tmp_path / "run", [entry], steps, part_samples=70)
    assert area(measured(tmp_path / "run", made), 60) > 0.8
    assert area(measured(tmp_path / "run", made, "learn"), 60) < 0.1
    assert 0.35 < area(measured(tmp_path / "run", made, "cosines"), 60) < 0.65


@pytest.mark.parametrize("measure", ["cliploss", "loss"])
def test_references_of_a_run_keep_values_as_they_were(tmp_path: Path, measure: str) -> None:
    """With more samples, other references would be drawn; and those that are taken count once where they stand."""
    made, entry, _ = pool(tmp_path / "in", 90)
    steps = f"- difficulty: {{name: fit, measure: {measure}, references: REFERENCES}}"
    run_steps(tmp_path / "first", [entry], steps.replace("REFERENCES", "30"), part_samples=40)
    more = {**pool(tmp_path / "more", 60)[1], "name": "more"}
    _renamed(tmp_path / "more")
    taken = steps.replace("REFERENCES", f"{tmp_path}/first")
    run_steps(tmp_path / "second", [entry, more], taken, part_samples=40)
    run_steps(tmp_path / "drawn", [entry, more], steps.replace("REFERENCES", "30"))
    first = measured(tmp_path / "first", made)
    assert np.array_equal(first, measured(tmp_path / "second", made))
    assert not np.array_equal(first, measured(tmp_path / "drawn", made))


def _renamed(folder: Path) -> None:
    """Give the samples of a folder other uids."""
    for path in sorted(folder.glob("*.parquet")):
        table = pq.read_table(path)
        uids = [f"{int(uid, 16) ^ 1:032x}" for uid in table["uid"].to_pylist()]
        pq.write_table(table.set_column(0, "uid", pa.array(uids)), path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("measure: learnability", "`trusted: RUN` belongs to `measure: learnability`"),
        ("trusted: DIR/first", "`trusted: RUN` belongs to `measure: learnability`"),
        ("measure: loss, temperature: 0.1", "heads learn their temperature: leave it out"),
        ("runs: 9", "runs: no heads are trained: leave it out"),
        (
            "references: DIR/first, measure: loss, runs: 9",
            "runs: `references` is a run, whose heads are taken",
        ),
        (
            "references: DIR/none",
            "is no finished run, which has manifest.json: name a run directory",
        ),
        (
            "measure: learnability, trusted: DIR/none",
            "none` is no finished run, which has manifest.json: name a run directory",
        ),
        ("references: DIR/first#other", "has no step `difficulty` of the name other"),
        (
            "references: DIR/first, measure: loss",
            "has measured cliploss, and has no heads for loss",
        ),
        ("measure: learnability, trusted: DIR/few", "kept 3 pairs, and heads train on at least 16"),
        (
            "measure: learnability, trusted: DIR/t.npy",
            "has one side alone, and pairs are needed: give a finished run",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, settings: str, message: str) -> None:
    _, entry, _ = pool(tmp_path / "in", 40)
    run_steps(tmp_path / "first", [entry], "- difficulty: {references: 30}")
    run_steps(tmp_path / "few", [entry], "- random: {keep: 3}")
    np.save(tmp_path / "t.npy", np.eye(12))
    step = f"- difficulty: {{{settings.replace('DIR', str(tmp_path))}}}"
    with pytest.raises(TamisError, match=re.escape(message)) as caught:
        run_steps(tmp_path / "run", [entry], step)
    assert "\n" not in str(caught.value)


def test_too_few_pairs_train_no_heads(tmp_path: Path) -> None:
    _, entry, _ = pool(tmp_path / "in", 12)
    with pytest.raises(JobError, match="12 pairs reach the step, and heads train on at least 16"):
        run_steps(tmp_path / "run", [entry], "- difficulty: {measure: loss}")
