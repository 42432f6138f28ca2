"""Caption signals against small cases worked out by hand, and against properties that define them."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.signals import caption_statistics
from tamis.pipeline.signals.caption_forms import Captions
from tamis.pipeline.signals.kinds import TextSignal
from tamis.pipeline.signals.registry import SIGNALS

CAPTIONS = st.lists(st.none() | st.text(max_size=80))
# Few different words, so that runs of them repeat.
REPEATING = st.lists(st.sampled_from(["clip", "art", "Art", "a", "tree"]), max_size=12)


def test_words_are_split_at_any_unicode_whitespace() -> None:
    texts = ["a red\u00a0balloon", "  two\nlines\t", "", None, "\u65e5\u672c\u306e\u5c71"]
    assert caption_statistics.words(texts).tolist() == [3, 2, 0, 0, 1]


def test_characters_are_code_points() -> None:
    texts = ["abc", "e\u0301", "\U0001f44d", " a ", "", None]
    assert caption_statistics.characters(texts).tolist() == [3, 2, 1, 3, 0, 0]


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("abc 123", 0.0),
        ("a,b!", 0.5),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", 0.0),  # combining vowel signs are no symbols
        ("\U0001f44d\U0001f44d", 1.0),
        ("snake_case", 0.1),
        ("\x00ab ", 0.25),
        ("", 0.0),
        (None, 0.0),
    ],
)
def test_special_is_neither_letter_mark_number_nor_space(text: str | None, share: float) -> None:
    assert caption_statistics.special_characters([text]).tolist() == [share]


@given(st.text(st.characters(max_codepoint=127), min_size=1))
def test_special_characters_of_ascii_are_what_a_regular_expression_finds(text: str) -> None:
    expected = len(re.findall(r"[^A-Za-z0-9\s]", text)) / len(text)
    assert caption_statistics.special_characters([text]).tolist() == [expected]


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("clip art clip art", 1.0),
        ("Clip Art of a clip art", 14 / 17),
        ("buy buy buy", 1.0),  # (buy buy) stands twice, overlapping
        ("buy buy", 0.0),  # one run alone
        ("a red balloon and a red kite", 8 / 22),
        ("one", 0.0),
        ("   ", 0.0),
        (None, 0.0),
    ],
)
def test_repetition_by_hand(text: str | None, share: float) -> None:
    assert caption_statistics.repetition([text]).tolist() == pytest.approx([share])


@given(REPEATING, st.integers(1, 4))
def test_repetition_equals_a_search_for_each_word(tokens: list[str], ngram: int) -> None:
    """A word counts where one of the runs over it is found again at another place."""
    lower = [token.lower() for token in tokens]
    starts = range(len(lower) - ngram + 1)

    def stands_again(start: int) -> bool:
        run = lower[start : start + ngram]
        return any(lower[other : other + ngram] == run for other in starts if other != start)

    counted = [
        token
        for position, token in enumerate(lower)
        if any(stands_again(start) for start in starts if start <= position < start + ngram)
    ]
    total = sum(map(len, lower))
    expected = sum(map(len, counted)) / total if total else 0.0
    assert caption_statistics.repetition([" ".join(tokens)], ngram).tolist() == [expected]


def test_repetition_refuses_an_empty_run() -> None:
    with pytest.raises(ValueError, match="ngram is 0"):
        caption_statistics.repetition(["a"], ngram=0)


@pytest.mark.parametrize(
    ("signal", "dtype"),
    [
        (caption_statistics.words, np.int32),
        (caption_statistics.characters, np.int32),
        (caption_statistics.special_characters, np.float64),
        (caption_statistics.repetition, np.float64),
    ],
)
@given(texts=CAPTIONS)
def test_a_caption_has_the_same_value_alone_and_among_others(
    signal: Callable[[Captions], np.ndarray],
    dtype: type,
    texts: list[str | None],
) -> None:
    together = signal(texts)
    assert together.dtype == dtype
    assert together.shape == (len(texts),)
    assert together.tolist() == [signal([text])[0] for text in texts]
    if dtype is np.float64:
        assert ((together >= 0) & (together <= 1)).all()


def test_segmented_signals_count_the_words_of_scripts_without_blanks() -> None:
    pytest.importorskip("icu4py")
    captions = ["我们在公园里散步", "แมวนั่งอยู่บนเก้าอี้", "白色的天空和白色的云", "a red fox", "", None]
    found = {}
    for name in ("words", "segmented_words", "repetition", "segmented_repetition"):
        signal = SIGNALS[name]
        assert isinstance(signal, TextSignal)
        found[name] = signal.load()(captions).to_pylist()
    assert found["words"] == [1, 1, 1, 3, 0, 0]
    assert found["segmented_words"] == [5, 5, 7, 3, 0, 0]
    assert found["repetition"] == [0.0] * 6
    assert found["segmented_repetition"] == [0, 0, pytest.approx(6 / 10), 0, 0, 0]
