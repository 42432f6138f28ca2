"""Heads: the same numbers every time, the same work for every subset, and retrieval as brute force counts it."""

import numpy as np
import pytest

from tamis.pipeline.algorithms import contrastive, heads
from tamis.pipeline.algorithms.contrastive import Sides
from tamis.pipeline.algorithms.heads import Heads, Scale
from tamis.pipeline.evaluate import measures
from tamis.schemas.evaluation import Training
from tests.support.synthetic import meanings, views

TRAINING = Training(steps=60, batch=32, width=16, rate=3e-3, decay=0.1)


def learned(count: int, seed: int = 0, training: Training = TRAINING) -> Heads:
    return heads.train(Sides(*views(meanings(count))), training, seed)


def test_the_same_seed_gives_the_same_bits() -> None:
    once, twice, other = learned(100), learned(100), learned(100, seed=1)
    assert once.image.tobytes() == twice.image.tobytes()
    assert once.text.tobytes() == twice.text.tobytes()
    assert once.image.tobytes() != other.image.tobytes()


def test_what_is_learned_carries_over_to_unseen_pairs() -> None:
    unseen = Sides(*views(meanings(200, seed=3), seed=4))
    idle = TRAINING.model_copy(update={"rate": 0.0})
    untrained, trained = (
        measures.retrieval(measures.ways(learned(400, training=training), unseen))
        for training in (idle, TRAINING)
    )
    assert untrained["recall_at_10"] < 0.15  # chance is .05
    assert trained["recall_at_10"] > 0.5


@pytest.mark.parametrize(("count", "batch"), [(32, 32), (33, 32), (100, 32), (1000, 32)])
def test_every_subset_is_trained_for_the_same_work(count: int, batch: int) -> None:
    rows = contrastive.batches(count, TRAINING, 0).numpy()
    assert rows.shape == (TRAINING.steps, batch)
    assert all(len(set(row)) == batch for row in rows.tolist())
    seen = np.bincount(rows.ravel(), minlength=count)
    whole = count // batch
    epochs = -(-TRAINING.steps // whole)
    assert seen.max() <= epochs


def test_fewer_pairs_than_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="31 pairs, and a batch has 32"):
        learned(31)


def test_ranks_are_those_of_a_sort() -> None:
    random = np.random.default_rng(0)
    left, right = random.normal(size=(2, 40, 8)).astype(np.float32)
    right[7] = right[8]  # a tie counts against both
    cosines = left @ right.T
    found = measures.ranks(left, right)
    for row in range(40):
        best = sorted(cosines[row].tolist(), reverse=True)
        last = max(i + 1 for i, value in enumerate(best) if value == cosines[row, row])
        assert found[row] == last


def test_zero_shot_counts_the_nearest_names() -> None:
    same = np.eye(4, dtype=np.float32)
    label = np.array([0, 1, 2, 2])
    assert measures.zero_shot(Heads(same, same), same, same, label) == 0.75


def test_a_dimension_that_never_moves_keeps_its_size() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    vectors[:, 1] = 7
    scaled = Scale.of(vectors)(vectors)
    assert np.allclose(scaled[:, 1], 0)
    assert np.allclose(scaled[:, [0, 2]].std(axis=0), 1, atol=1e-5)
