"""Influence: the inner product of gradients that torch computes one by one, whatever the slicing; and what it finds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.choosing.influence import Influence, direction
from tamis.pipeline.algorithms.choosing.learned import learn
from tests.algorithms.test_difficulty import pairs

IMAGE, TEXT = pairs(90, 12, 5)
KNOWN, OTHERS = 20, slice(60, 90)
LEARNED = learn(IMAGE, TEXT, 15, 42, 0)
REFERENCES = IMAGE[:KNOWN], TEXT[:KNOWN]
ALONG = direction(LEARNED, REFERENCES, (IMAGE[OTHERS], TEXT[OTHERS]))
OWN = np.where(np.arange(90) < KNOWN, np.arange(90), -1)


def gradients(rows: range, mean: bool) -> np.ndarray:
    """Of the loss of each pair, or of their mean: (pairs, weights), one backward pass each."""
    weights = [
        torch.from_numpy(side.astype(np.float64)).requires_grad_()
        for side in (LEARNED.heads.image, LEARNED.heads.text)
    ]
    scaled = LEARNED.scaled(IMAGE, TEXT)
    a, b = (
        torch.nn.functional.normalize(torch.from_numpy(side.astype(np.float64)) @ weight)
        for side, weight in zip(scaled, weights, strict=True)
    )
    losses = []
    for i in rows:
        among = [*range(KNOWN), i] if i >= KNOWN or mean else list(range(KNOWN))
        place = torch.tensor([among.index(i)])
        logits = [
            (others[among] @ one / LEARNED.heads.temperature)[None]
            for one, others in ((a[i], b), (b[i], a))
        ]
        entropy = torch.nn.functional.cross_entropy
        losses.append((entropy(logits[0], place) + entropy(logits[1], place)) / 2)
    found = []
    for loss in [torch.stack(losses).mean()] if mean else losses:
        made = torch.autograd.grad(loss, weights, retain_graph=True)
        found.append(np.concatenate([one.numpy().ravel() for one in made]))
    return np.array(found)


def test_it_is_the_inner_product_of_gradients() -> None:
    (target,) = gradients(range(60, 90), mean=True)
    single = gradients(range(90), mean=False)
    expected = single @ (target / np.linalg.norm(target))
    found = Influence(LEARNED.pair(), ALONG, *REFERENCES)(IMAGE, TEXT, OWN)
    assert np.allclose(found, expected, atol=1e-4)
    assert np.abs(expected).max() > 0.05


@given(st.lists(st.integers(0, 90), max_size=3))
def test_slicing_changes_no_bit(cuts: list[int]) -> None:
    influence = Influence(LEARNED.pair(), ALONG, *REFERENCES)
    whole = influence(IMAGE, TEXT, OWN)
    edges = [0, *sorted(cuts), 90]
    pieces = [influence(IMAGE[a:b], TEXT[a:b], OWN[a:b]) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_a_step_against_the_gradient_of_the_most_helpful_lowers_the_targets_loss() -> None:
    """And more than one on the least helpful."""
    found = Influence(LEARNED.pair(), ALONG, *REFERENCES)(IMAGE, TEXT, OWN)[:60]
    ranked = np.argsort(found)
    single = gradients(range(60), mean=False)
    (target,) = gradients(range(60, 90), mean=True)
    best, worst = single[ranked[-10:]].mean(axis=0), single[ranked[:10]].mean(axis=0)
    assert best @ target > 0
    assert best @ target > worst @ target
