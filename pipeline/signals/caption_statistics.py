"""Signals over captions. A word is a run of characters between Unicode whitespace; a null caption counts as empty."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Captions = Sequence[str | None]


def words(captions: Captions) -> NDArray[np.int32]:
    """Number of words a caption, shape (n,). A script written without spaces gives one word a run."""
    return np.array([len(text.split()) if text else 0 for text in captions], dtype=np.int32)


def characters(captions: Captions) -> NDArray[np.int32]:
    """Number of Unicode code points a caption, whitespace included, shape (n,)."""
    return np.array([len(text) if text else 0 for text in captions], dtype=np.int32)


def special_characters(captions: Captions) -> NDArray[np.float64]:
    """Share of special characters among all of a caption's characters, shape (n,), in [0, 1].

    Special is what is neither letter, combining mark, number (Unicode categories L, M, N) nor whitespace:
    punctuation, symbols, emoji, control characters. An empty caption has 0.
    """
    shares = [sum(map(_is_special, text)) / len(text) if text else 0.0 for text in captions]
    return np.array(shares, dtype=np.float64)


def repetition(captions: Captions, ngram: int = 2) -> NDArray[np.float64]:
    """Share of a caption's text that lies in repeated word n-grams, shape (n,), in [0, 1].

    A word is repeated where it belongs to a run of ``ngram`` words that occurs at least twice in the
    caption, regardless of case. The share is the characters of the repeated words over the characters of all
    words; a word in several such runs counts once. This is the duplicate n-gram character fraction of
    Rae et al. 2021 (Gopher, appendix A.1), with n = 2 because captions are short. Captions of fewer than
    ``ngram + 1`` words, the empty one too, have 0.

    Raises:
        ValueError: if ``ngram`` is below 1.
    """
    if ngram < 1:
        raise ValueError(f"ngram is {ngram}; a run has at least 1 word")
    return np.array([_repeated_share(text or "", ngram) for text in captions], dtype=np.float64)


@cache
def _is_special(character: str) -> bool:
    return unicodedata.category(character)[0] not in "LMN" and not character.isspace()


def _repeated_share(text: str, ngram: int) -> float:
    tokens = text.casefold().split()
    runs = [tuple(tokens[start : start + ngram]) for start in range(len(tokens) - ngram + 1)]
    occurrences = Counter(runs)
    repeated: set[int] = set()
    for start, run in enumerate(runs):
        if occurrences[run] > 1:
            repeated.update(range(start, start + ngram))
    total = sum(map(len, tokens))
    return sum(len(tokens[position]) for position in repeated) / total if total else 0.0
