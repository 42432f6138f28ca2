"""Signals over captions. A word is the text between Unicode whitespace; a null caption counts as empty."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Captions = Sequence[str | None]


def words(captions: Captions) -> NDArray[np.int32]:
    """Number of words of each of n captions, int32 (n,). Text without spaces is one word."""
    return np.array([len(text.split()) if text else 0 for text in captions], dtype=np.int32)


def characters(captions: Captions) -> NDArray[np.int32]:
    """Number of Unicode code points of each of n captions, whitespace included, int32 (n,)."""
    return np.array([len(text) if text else 0 for text in captions], dtype=np.int32)


def special_characters(captions: Captions) -> NDArray[np.float64]:
    """Share of special characters among all of a caption's characters, float64 (n,), in [0, 1].

    Special characters are all but letters, combining marks, numbers (Unicode categories L, M, N) and whitespace:
    punctuation, symbols, emoji, control characters. An empty caption has 0.
    """
    shares = [sum(map(_is_special, text)) / len(text) if text else 0.0 for text in captions]
    return np.array(shares, dtype=np.float64)


def repetition(captions: Captions, ngram: int = 2) -> NDArray[np.float64]:
    """Share of a caption's text in repeated word n-grams, float64 (n,), in [0, 1].

    A word is repeated if it belongs to an n-gram of ``ngram`` words that occurs at least twice in the caption,
    regardless of case. The share is the characters of the repeated words over the characters of all words; a
    word in several such n-grams counts once. This is the duplicate n-gram character fraction of Rae et al. 2021
    (Gopher, appendix A.1), with n = 2 because captions are short. Captions of fewer than ``ngram + 1`` words have 0.

    Raises:
        ValueError: ``ngram`` is below 1.
    """
    if ngram < 1:
        raise ValueError(f"ngram is {ngram}: it has to be at least 1")
    return np.array([_repeated_share(text or "", ngram) for text in captions], dtype=np.float64)


@cache
def _is_special(character: str) -> bool:
    return unicodedata.category(character)[0] not in "LMN" and not character.isspace()


def _repeated_share(text: str, ngram: int) -> float:
    tokens = text.casefold().split()
    ngrams = [tuple(tokens[start : start + ngram]) for start in range(len(tokens) - ngram + 1)]
    occurrences = Counter(ngrams)
    repeated: set[int] = set()
    for start, gram in enumerate(ngrams):
        if occurrences[gram] > 1:
            repeated.update(range(start, start + ngram))
    total = sum(map(len, tokens))
    return sum(len(tokens[position]) for position in repeated) / total if total else 0.0
