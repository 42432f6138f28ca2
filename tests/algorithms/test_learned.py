"""Heads as projections: the loss that torch computes, whatever the slicing, and of unlearned pairs a high one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.choosing.learned import Learned, learn
from tests.algorithms.test_difficulty import pairs


def made(count: int, dim: int = 12, seed: int = 5, steps: int = 20) -> Learned:
    image, text = pairs(count, dim, seed)
    return learn(image, text, steps, 42, 0)


def by_torch(learned: Learned, image: np.ndarray, text: np.ndarray, known: int) -> list[float]:
    """Mean of both directions of the cross-entropy among the first ``known`` pairs and the pair itself, less log n."""
    scaled = learned.scaled(image, text)
    both = [
        torch.nn.functional.normalize(
            torch.from_numpy(side.astype(np.float64)) @ torch.from_numpy(weight.astype(np.float64))
        )
        for side, weight in zip(scaled, (learned.heads.image, learned.heads.text), strict=True)
    ]
    found = []
    for i in range(len(image)):
        among = sorted({*range(known), i})
        a, b = both[0][i], both[1][i]
        losses = []
        for own, others in ((a, both[1][among]), (b, both[0][among])):
            logits = (others @ own / learned.heads.temperature)[None]
            entropy = torch.nn.functional.cross_entropy(logits, torch.tensor([among.index(i)]))
            losses.append(float(entropy) - np.log(len(among)))
        found.append(sum(losses) / 2)
    return found


def test_the_loss_is_what_torch_says() -> None:
    image, text = pairs(60, 12, 5)
    learned = made(60)
    pair = learned.pair()
    own = np.where(np.arange(60) < 20, np.arange(60), -1)
    value = pair.loss(pair.references(image[:20], text[:20]), image, text, own)
    assert np.allclose(value, by_torch(learned, image, text, 20), atol=1e-4)


@given(st.lists(st.integers(0, 300), max_size=3))
def test_slicing_changes_no_bit(cuts: list[int]) -> None:
    image, text = pairs(300, 40, 3)
    pair = PAIR
    references = pair.references(image[:30], text[:30])
    own = np.full(300, -1)
    whole = pair.loss(references, image, text, own)
    edges = [0, *sorted(cuts), 300]
    pieces = [pair.loss(references, image[a:b], text[a:b], own[a:b]) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(pieces), whole)


PAIR = made(300, 40, 3).pair()


def test_the_projection_is_that_of_the_standardised_rows() -> None:
    """A constant dimension has spread 1, and its weight is shifted away."""
    image, text = pairs(60, 12, 5)
    image[:, 3] = np.float16(0.25)
    learned = learn(image, text, 5, 1, 0)
    projected = learned.pair().image(image)
    direct = learned.scaled(image, text).image.astype(np.float64) @ learned.heads.image
    assert np.allclose(projected / learned.pair().image.factor, direct, atol=1e-4)


def test_runs_and_seeds_differ_and_repeat() -> None:
    image, text = pairs(60, 12, 5)
    weights = [
        learn(image, text, 5, seed, run).heads.image.tobytes()
        for seed, run in [(1, 0), (1, 0), (1, 1), (2, 0)]
    ]
    assert weights[0] == weights[1]
    assert len(set(weights)) == 3
