"""Exact Jaccard similarity against Python's sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.near_captions import folding, jaccard, minhash, shingles
from tamis.pipeline.algorithms.near_captions.shingles import Ngram


@given(st.lists(st.text("abcd ", max_size=15), min_size=1, max_size=12), st.integers(1, 40))
def test_equals_the_definition(raw: list[str], items: int) -> None:
    texts = folding.normalise(raw)
    ngram = Ngram("char", 2)
    a, b = (part.ravel() for part in np.indices((len(texts), len(texts))))
    values = jaccard.pairs(shingles.shingle_sets(texts, ngram), a, b, items)
    pieces = [minhash.shingle_strings(one, ngram) for one in texts]
    for left, right, value in zip(a, b, values, strict=True):
        union = pieces[left] | pieces[right]
        assert value == (len(pieces[left] & pieces[right]) / len(union) if union else 0.0)


def test_no_pairs_have_no_values() -> None:
    none = np.empty(0, dtype=np.int64)
    assert len(jaccard.pairs(shingles.shingle_sets(["a"], Ngram()), none, none)) == 0
