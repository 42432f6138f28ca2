"""The step `difficulty`: its references are the smallest hashes of what reaches it, and its signal chooses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing.difficulty import References
from tamis.schemas.errors import JobError
from tests.algorithms.test_difficulty import pairs
from tests.support.embedded import Samples, by_uid, run_one, run_steps, write_input


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
