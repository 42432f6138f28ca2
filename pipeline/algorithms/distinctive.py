"""Names of groups of captions: the words that many captions of a group have, and few captions elsewhere.

A word's score is the number of the group's captions that have it, times the logarithm of how rare it is among all
captions: tf-idf (Spärck Jones, "A statistical interpretation of term specificity", 1972), a word once a caption.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tamis.pipeline.algorithms.near_captions.folding import normalise

WORDS = 3
"""Words of a name, at most."""

LEAST = 4
"""Captions from which a word of a name must stand in two of them."""

_WORD = re.compile(r"[^\W\d_](?:[\w'\u2019-]*\w)?")  # begins with a letter


def words(caption: str) -> set[str]:
    """The words of a caption, folded; without single ASCII letters."""
    (folded,) = normalise([caption])
    return {word for word in _WORD.findall(folded) if len(word) > 1 or not word.isascii()}


def frequencies(captions: Iterable[str]) -> Counter[str]:
    """The number of captions that each word stands in."""
    counted: Counter[str] = Counter()
    for caption in captions:
        counted.update(words(caption))
    return counted


def name(captions: Sequence[str], elsewhere: Counter[str], total: int) -> str:
    """The WORDS most distinctive words of a group's captions, joined by commas; "" where they have none.

    A word that another of the name contains, as a plural does, is left out. Words of equal score come in the order of
    the alphabet, and captions in any order give the same name.

    Args:
        captions: the group's; of equal ones one counts.
        elsewhere: by word, how many of ``total`` captions have it.
        total: captions behind ``elsewhere``.
    """
    distinct = set(captions)
    least = 2 if len(distinct) >= LEAST else 1
    scores = {
        word: count * math.log((total + 2) / (min(elsewhere[word], total) + 1))
        for word, count in frequencies(distinct).items()
        if count >= least
    }
    chosen: list[str] = []
    for word in sorted(scores, key=lambda word: (-scores[word], word)):
        if not any(word in other or other in word for other in chosen):
            chosen.append(word)
        if len(chosen) == WORDS:
            break
    return ", ".join(chosen)
