"""Importance resampling over hashed n-grams (DSIR): take captions that look like a target's.

Xie et al., "Data selection for language models via importance resampling", NeurIPS 2023: a text is represented by its
counts of hashed 1-grams and 2-grams. Its log weight is the sum over its n-grams of log p_target - log p_raw, and k
texts are drawn without replacement in proportion to their weights by adding Gumbel noise. The paper's minimum of 100
tokens is left out: it would drop nearly every caption.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import xxhash
from numpy.typing import NDArray

from tamis.pipeline.algorithms.order import finite, hashed, uniform

if TYPE_CHECKING:
    from scipy import sparse

BUCKETS = 10_000
_TOKEN = re.compile(r"\w+|[^\w\s]+")
_SMOOTHING = 1e-8


def ngrams(text: str) -> list[str]:
    """Lower-case tokens of a text, and its pairs of neighbouring tokens, each joined by a space.

    A token is a run of word characters or a run of other characters that are not whitespace.
    """
    tokens: list[str] = _TOKEN.findall(text.lower())
    return tokens + [f"{first} {second}" for first, second in pairwise(tokens)]


def features(texts: Sequence[str], buckets: int = BUCKETS) -> sparse.csr_array:
    """Counts of hashed n-grams of n texts: CSR int64 (n, buckets).

    The bucket of an n-gram is xxh3-64 of its UTF-8 bytes, modulo `buckets`; a lone surrogate, which UTF-8 cannot hold,
    is encoded as it stands.
    """
    from scipy import sparse

    columns: list[int] = []
    ends = [0]
    for text in texts:
        columns += [
            xxhash.xxh3_64_intdigest(gram.encode("utf-8", "surrogatepass")) % buckets
            for gram in ngrams(text)
        ]
        ends.append(len(columns))
    counts = sparse.csr_array(
        (np.ones(len(columns), np.int64), np.array(columns, np.int64), np.array(ends, np.int64)),
        shape=(len(texts), buckets),
    )
    counts.sum_duplicates()
    return counts


def totals(counts: sparse.csr_array) -> NDArray[np.int64]:
    """Counts of each bucket over all texts, int64 (buckets,), from counts (n, buckets); parts' totals can be added."""
    return np.asarray(counts.sum(axis=0), dtype=np.int64).ravel()


def log_ratio(target: NDArray[np.int64], raw: NDArray[np.int64]) -> NDArray[np.float64]:
    """Logarithm of p_target / p_raw for every bucket, float64 (buckets,), from the `totals` of target and input.

    p = count / sum + 1e-8: a bucket that one side lacks has a finite logarithm.

    Raises:
        ValueError: one side has no n-grams.
    """
    if not (target.sum() > 0 and raw.sum() > 0):
        raise ValueError(
            f"the target has {target.sum():,} n-grams and the input {raw.sum():,}: both need at "
            "least one; give captions that hold words"
        )
    log_target = np.log(target / target.sum() + _SMOOTHING)
    log_raw = np.log(raw / raw.sum() + _SMOOTHING)
    return np.asarray(log_target - log_raw, dtype=np.float64)


def log_weights(counts: sparse.csr_array, ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log importance weight of every text, float64 (n,), from counts (n, buckets); 0 without n-grams."""
    return np.asarray(counts @ ratio, dtype=np.float64)


def perturbed(
    log_weight: NDArray[np.floating], uid: NDArray[np.uint64], seed: int
) -> NDArray[np.float64]:
    """Log weights (n,) plus Gumbel noise, float64 (n,): the k largest are a draw of k samples without replacement.

    The noise is -log(-log u), u from the hash of seed and uid: it does not depend on the order of samples.
    """
    noise = -np.log(-np.log(uniform(hashed(uid, seed, "importance"))))
    return finite(log_weight, "log weight") + noise
