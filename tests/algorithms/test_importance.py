"""DSIR: hashed n-grams, log weights, and a Gumbel draw that belongs to the samples."""

import math

import numpy as np
import pytest
import xxhash

from tamis.pipeline.algorithms.choosing import importance, score


def test_ngrams_are_words_punctuation_and_pairs() -> None:
    assert importance.ngrams("A red-hot Car!") == [
        *["a", "red", "-", "hot", "car", "!"],
        *["a red", "red -", "- hot", "hot car", "car !"],
    ]
    assert importance.ngrams(" \n") == []


def test_features_count_hashed_ngrams() -> None:
    counts = importance.features(["cat cat cat", "", "dog"]).toarray()
    bucket = {
        gram: xxhash.xxh3_64_intdigest(gram.encode()) % 10_000 for gram in ("cat", "cat cat", "dog")
    }
    assert counts.shape == (3, 10_000)
    assert counts[0, bucket["cat"]] == 3
    assert counts[0, bucket["cat cat"]] == 2
    assert counts.sum(axis=1).tolist() == [5, 0, 1]


def test_a_lone_surrogate_is_counted() -> None:
    assert importance.features(["\ud800 cat"]).sum() >= 1


def test_log_weights_by_hand() -> None:
    """Target (3, 1, 0) and raw (1, 1, 2) give log 3, log 1 and a large negative value."""
    ratio = importance.log_ratio(np.array([3, 1, 0]), np.array([1, 1, 2]))
    expected = [math.log(0.75 / 0.25), 0.0, math.log(1e-8 / 0.5)]
    assert ratio == pytest.approx(expected, abs=1e-6)
    texts = importance.features(["a b a", "c"], buckets=3)
    weights = importance.log_weights(texts, ratio)
    assert weights == pytest.approx(texts.toarray() @ ratio)


def test_totals_of_parts_add_up() -> None:
    texts = ["a red car", "a blue car", "road sign"]
    whole = importance.totals(importance.features(texts))
    parts = [importance.totals(importance.features(texts[i : i + 1])) for i in range(3)]
    assert (np.sum(parts, axis=0) == whole).all()


def test_captions_like_the_target_weigh_more() -> None:
    target = importance.totals(importance.features(["a photo of a dog", "a photo of a cat"]))
    pool = ["a photo of a horse", "buy cheap shoes online", "playing card"]
    features = importance.features(pool)
    ratio = importance.log_ratio(target, importance.totals(features))
    assert importance.log_weights(features, ratio).argmax() == 0


def test_the_draw_is_in_proportion_to_the_weights() -> None:
    """Weights 1, 2 and 5, one sample to draw, 4,000 seeds: 1/8, 2/8 and 5/8 of the draws."""
    uid = np.arange(6, dtype=np.uint64).reshape(3, 2)
    log_weight = np.log([1.0, 2.0, 5.0])

    def draw(weight: np.ndarray, uid: np.ndarray, seed: int) -> np.ndarray:
        return score.top(importance.perturbed(weight, uid, seed), uid, 1)

    drawn = sum(draw(log_weight, uid, seed).astype(int) for seed in range(4000))
    assert drawn / 4000 == pytest.approx([0.125, 0.25, 0.625], abs=0.03)
