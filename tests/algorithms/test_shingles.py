"""Captions as shingles: the array code gives what cutting strings in Python gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.near_captions import folding, minhash, shingles
from tamis.pipeline.algorithms.near_captions.shingles import Ngram

NGRAMS = [Ngram("char", 1), Ngram("char", 3), Ngram("char", 5), Ngram("word", 1), Ngram("word", 2)]
captions = st.lists(st.text(st.sampled_from("ab é日\U0001f600 "), max_size=20), max_size=12)


@pytest.mark.parametrize("ngram", NGRAMS, ids=str)
@given(captions)
def test_shingles_are_the_pieces_of_the_text(ngram: Ngram, raw: list[str]) -> None:
    """Texts have as many distinct hashes as distinct pieces, and share as many as they share."""
    texts = folding.normalise(raw)
    sets = shingles.shingle_sets(texts, ngram)
    hashes = [
        set(sets.hashes[start:stop].tolist())
        for start, stop in zip(sets.offsets[:-1], sets.offsets[1:], strict=True)
    ]
    pieces = [minhash.shingle_strings(one, ngram) for one in texts]
    assert [len(one) for one in hashes] == [len(one) for one in pieces]
    assert sets.sizes.tolist() == [len(one) for one in pieces]
    for some, piece in zip(hashes, pieces, strict=True):
        assert [len(some & other) for other in hashes] == [len(piece & other) for other in pieces]


@given(captions)
def test_sets_are_sorted_unique_and_valid_as_signed_numbers(raw: list[str]) -> None:
    sets = shingles.shingle_sets(folding.normalise(raw), Ngram("char", 2))
    for start, stop in zip(sets.offsets[:-1], sets.offsets[1:], strict=True):
        one = sets.hashes[start:stop]
        assert (one[1:] > one[:-1]).all()
        assert (one < 2**63).all()


def test_a_text_does_not_depend_on_those_around_it() -> None:
    texts = [f"caption number {i} " + "word " * (i % 37) for i in range(4000)]
    texts = folding.normalise([*texts, "x" * 50_000, "ab", ""])
    for ngram in NGRAMS:
        sets = shingles.shingle_sets(texts, ngram)
        for row in (0, 1234, 3999, 4000, 4001, 4002):
            alone = shingles.shingle_sets([texts[row]], ngram)
            together = sets.hashes[sets.offsets[row] : sets.offsets[row + 1]]
            assert together.tolist() == alone.hashes.tolist()


def test_a_short_text_is_one_shingle_that_no_longer_text_has() -> None:
    sets = shingles.shingle_sets(["ab", "abc", "", "b"], Ngram("char", 3))
    assert sets.sizes.tolist() == [1, 1, 0, 1]
    assert len(np.unique(sets.hashes)) == 3


def test_keys_are_equal_for_equal_texts_only() -> None:
    texts = ["a", "b", "a", "", "\ud800"]
    keys = shingles.text_keys(texts)
    assert keys[0] == keys[2]
    assert len(np.unique(keys)) == 4


def test_refuses_an_ngram_of_nothing() -> None:
    with pytest.raises(ValueError, match="size 0; give 1 or more"):
        Ngram("char", 0)
    with pytest.raises(ValueError, match="give 'char' or 'word'"):
        Ngram("line", 1)  # type: ignore[arg-type]


def test_hashes_are_the_same_on_every_machine() -> None:
    cut = shingles.shingles(["fox", "\N{SNOWMAN}"], Ngram("char", 3))
    assert [f"{value:016x}" for value in cut.hashes] == ["1216a80e91a40b5f", "3d0900b22886b9c7"]
    words = shingles.shingles(["a fox"], Ngram("word", 1))
    assert [f"{value:016x}" for value in words.hashes] == ["4602691e54b729fe", "ac4ea8609cb8050c"]
