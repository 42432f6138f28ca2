"""What the README of the example data says of the demo model is what its training script finds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tamis.pipeline.encoders.demo import PROJECTIONS
from tests.benchmarks.train_demo import fit, is_held_out, measure, one_answer_each

ROOT = Path(__file__).parents[2]


def test_no_picture_and_no_caption_is_on_both_sides() -> None:
    """Chains count: a and b share a caption, b and c a picture."""
    rng = np.random.default_rng(9)
    pairs = [(bytes([p]), f"caption {c}") for p, c in rng.integers(0, 200, (150, 2)).tolist()]
    held = is_held_out(pairs)
    assert 0 < held.sum() < len(pairs) / 2
    for column in (0, 1):
        left = {pair[column] for pair, out in zip(pairs, held, strict=True) if out}
        right = {pair[column] for pair, out in zip(pairs, held, strict=True) if not out}
        assert left.isdisjoint(right)
    backwards = is_held_out(pairs[::-1])
    np.testing.assert_array_equal(backwards[::-1], held)


def test_one_answer_each_repeats_nothing() -> None:
    pairs = [(b"1", "a"), (b"1", "b"), (b"2", "a"), (b"3", "c"), (b"2", "b")]
    assert one_answer_each(pairs, np.arange(5)).tolist() == [0, 3, 4]


def test_the_fit_finds_what_two_views_share() -> None:
    """Two noisy linear views of the same hidden numbers, and rows that were not fitted."""
    rng = np.random.default_rng(12)
    hidden = rng.normal(size=(400, 6))
    pictures = hidden @ rng.normal(size=(6, 300)) + 0.3 * rng.normal(size=(400, 300)) + 5
    captions = hidden @ rng.normal(size=(6, 280)) + 0.3 * rng.normal(size=(400, 280))
    projections = fit(pictures[:300], captions[:300])
    found = measure(projections, pictures[300:], captions[300:])
    assert found["picture_to_caption"]["recall_at_1"] > 0.8
    assert found["caption_to_picture"]["recall_at_1"] > 0.8
    wrong = measure(projections, pictures[300:], captions[300:][::-1])
    assert wrong["picture_to_caption"]["recall_at_10"] < 0.3


@pytest.mark.slow
def test_the_readme_has_the_scripts_figures(tmp_path: Path) -> None:
    written = tmp_path / "demo.safetensors"
    data = str(ROOT / "jobs" / "examples" / "clipart")
    command = [sys.executable, "-m", "tests.benchmarks.train_demo", data, "--write", str(written)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    figures = json.loads(done.stdout)
    readme = (ROOT / "jobs" / "examples" / "README.md").read_text()
    block = re.search(r"```json\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    said = json.loads(block[1])
    assert said["fitted_pairs"] == figures["fitted_pairs"]
    chance = figures["held_out"]["chance"]["recall_at_10"]
    assert said["held_out"]["chance"]["recall_at_10"] == chance
    for way in ("picture_to_caption", "caption_to_picture"):
        # Another processor's last bits may turn a rank over.
        assert said["held_out"][way] == pytest.approx(figures["held_out"][way], abs=0.02)
    assert figures["held_out"]["picture_to_caption"]["recall_at_10"] > 5 * chance
    again, shipped = load_file(written), load_file(PROJECTIONS)
    assert again.keys() == shipped.keys()
    for name, value in shipped.items():
        # Another processor may turn a pair of axes over: only lengths are compared.
        lengths = np.linalg.norm(np.atleast_2d(value.astype(np.float32)), axis=1)
        np.testing.assert_allclose(
            np.linalg.norm(np.atleast_2d(again[name].astype(np.float32)), axis=1),
            lengths,
            rtol=0.05,
        )
