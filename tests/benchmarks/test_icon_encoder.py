"""The showcase's scorer, read back as an encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamis.pipeline.algorithms import students
from tests.benchmarks import showcase
from tests.benchmarks.icon_encoder import SIDE, Icons, outlines


def test_the_encoder_has_the_scorers_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = showcase.SCORER.model_copy(update={"steps": 3, "batch": 16})
    monkeypatch.setattr(showcase, "SCORER", short)
    draw = np.random.default_rng(0)
    pictures = draw.integers(0, 256, (24, SIDE, SIDE, 3), dtype=np.uint8)
    captions = [f"picture number {row}" for row in range(24)]
    of, features = np.array(["a"] * 24), outlines(pictures)
    found = showcase.Read([], [], captions, of, features, students.tokens(captions))
    sides = showcase.embedded(found, np.arange(24) < 20, tmp_path / "scorer.npz")

    encoder = Icons(str(tmp_path / "scorer.npz"))
    vectors = encoder.pictures(pictures.repeat(2, axis=1).repeat(2, axis=2))
    assert np.allclose(sides.image, unit(vectors), atol=1e-5)
    assert np.allclose(sides.text, unit(encoder.captions(captions)), atol=1e-5)


def unit(rows: np.ndarray) -> np.ndarray:
    length: np.ndarray = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / length)
