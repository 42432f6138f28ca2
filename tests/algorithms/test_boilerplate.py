"""Boilerplate: frequent runs of words as brute force counts them, and the share of a caption that stands in them."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms import boilerplate

WORDS = st.lists(st.sampled_from("abc"), max_size=7).map(" ".join)


@given(st.lists(WORDS, max_size=40), st.integers(2, 4), st.integers(1, 9))
def test_runs_are_counted_once_a_different_caption(
    captions: list[str], length: int, most: int
) -> None:
    counts = Counter[str]()
    for caption in set(captions):
        words = caption.split()
        counts.update({" ".join(words[i : i + length]) for i in range(len(words) - length + 1)})
    expected = {text: n for text, n in counts.items() if n >= boilerplate.FEWEST}
    found = boilerplate.frequent(captions, length, most, 1e-9)
    assert len(found) == min(most, len(expected))
    assert [n for _, _, n in found] == sorted(expected.values(), reverse=True)[:most]
    assert all(expected[text] == n for _, text, n in found)
    assert all(boilerplate.runs(text.split(), length) == [run] for run, text, _ in found)
    assert boilerplate.frequent(captions[::-1], length, most, 1e-9) == found


def test_a_share_of_the_captions_is_needed() -> None:
    captions = [f"number {n} of a kind" for n in range(50)] + [f"word{n}" for n in range(50)]
    assert [text for _, text, _ in boilerplate.frequent(captions, 3, 9, 0.5)] == ["of a kind"]
    assert boilerplate.frequent(captions, 3, 9, 0.51) == []


@given(WORDS, st.sets(WORDS, max_size=6), st.integers(2, 4))
def test_the_share_is_of_words_in_known_runs(caption: str, texts: set[str], length: int) -> None:
    known = {run for text in texts for run in boilerplate.runs(text.split(), length)}
    words = caption.split()
    covered = set[int]()
    for start in range(len(words) - length + 1):
        if boilerplate.runs(words[start : start + length], length)[0] in known:
            covered |= set(range(start, start + length))
    expected = len(covered) / len(words) if words else 0.0
    assert boilerplate.share(caption, known, length) == expected
