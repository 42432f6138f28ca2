"""Balance over concepts: how many captions have a concept decides how likely a sample of it is kept.

Xu et al., "Demystifying CLIP data" (MetaCLIP), ICLR 2024: of a concept that is found in c captions min(1, t / c) are
kept, and a sample is kept if a lot of any of its concepts falls for it: with chance 1 - prod(1 - p). Here one lot is
drawn for that chance, from the uid, so that a sample's fate depends on nothing but counts, seed and uid.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tamis.pipeline.algorithms.arrays import Float64Array, Int64Array
from tamis.pipeline.algorithms.near_captions import folding

_WORD = re.compile(r"\w+")
_END = ""
"""In a node of the tree of words: the number of the concept that ends there. No word is empty."""


def words(text: str | None) -> list[str]:
    """The words of a caption or concept: runs of letters, digits and _ after folding, as near captions are folded."""
    return _WORD.findall(folding.normalise([text])[0])


class Concepts:
    """Concepts, ready to be looked for: a tree of their words.

    Args:
        concepts: each as its words, with a blank between.
    """

    def __init__(self, concepts: Iterable[str]) -> None:
        self._tree: dict[str, Any] = {}
        for number, concept in enumerate(concepts):
            node = self._tree
            for word in concept.split(" "):
                node = node.setdefault(word, {})
            node[_END] = number

    def found(self, text: str | None) -> list[int]:
        """Numbers of the concepts whose words stand side by side in a caption, each once, ascending."""
        own = words(text)
        numbers: set[int] = set()
        for start in range(len(own)):
            node: dict[str, Any] = self._tree
            for word in own[start:]:
                if word not in node:
                    break
                node = node[word]
                if _END in node:
                    numbers.add(node[_END])
        return sorted(numbers)


def chances(count: Int64Array, most: int) -> Float64Array:
    """The chance of a sample by each concept alone, float64 (n,): min(1, most / count)."""
    return np.minimum(1.0, most / np.maximum(count, 1))


def together(chance: Sequence[float]) -> float:
    """The chance by any of several concepts: 1 - prod(1 - p); 0 without any."""
    missed = 1.0
    for one in chance:
        missed *= 1.0 - one
    return 1.0 - missed
