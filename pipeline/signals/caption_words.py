"""Signals of the words and characters of captions, for many captions at once.

Each function takes n captions, of which null is empty, and gives a group of signals: name -> values, (n,). They are
those of RedPajama-V2 and Data-Juicer where ``docs/signals.md`` names no difference. A value does not depend on the
other captions: fractions are summed in an order that follows from the caption's own words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.signals import caption_forms as forms
from tamis.pipeline.signals.caption_forms import Captions
from tamis.pipeline.signals.word_list import WordList, among

Values = npt.NDArray[np.float64]
Group = Mapping[str, Values]
Measure = Callable[[Captions], Group]
Function = Callable[[Captions], pa.Array]

SYMBOLS = (ord("#"), ord("\u2026"))
"""Signs that `symbol_ratio` counts, beside three dots in a row."""

REPEATED_CHARACTERS = 10
"""Characters of a run, of which `character_repetition` counts the repeated ones: Data-Juicer's default."""

_ENGLISH = (
    "a about above after again against all along also although am among an and another any are around as at be "
    "because been before behind being below between both but by can cannot could did do does doing down during "
    "each either every few for from further had has have having he her here hers herself him himself his how i "
    "if in inside into is it its itself just may me might more most must my myself near neither no nor not of off "
    "on once one only onto or other our ours out outside over own per rather same shall she should since so some "
    "such than that the their theirs them themselves then there these they this those though through to too "
    "toward towards under until up upon us very was we were what when where whether which while who whom whose "
    "why will with within without would yet you your yours yourself"
)
STOP_WORDS = frozenset(_ENGLISH.split())
"""English words that say nothing by themselves, in lower case."""


def by_block(captions: Captions, functions: Mapping[str, Function]) -> dict[str, pa.Array]:
    """Values of captions by several functions, a block after another: name -> Arrow array (n,)."""
    found = [
        {name: function(block) for name, function in functions.items()}
        for block in forms.blocks(captions or forms.Block([]))
    ]
    return {name: pa.concat_arrays([values[name] for values in found]) for name in functions}


def measured(captions: Captions, measure: Measure) -> Group:
    """``measure(captions)``; of a block kept for the next signal of the group."""
    if not isinstance(captions, forms.Block):
        return measure(captions)
    if measure not in captions.groups:
        captions.groups[measure] = measure(captions)
    found: Group = captions.groups[measure]
    return found


def written_words(captions: Captions) -> Group:
    """Shares of the words as they are written: a run of letters, digits and `_`, or of other marks, is a word."""
    return _by_block(captions, _written_words)


def normal_words(captions: Captions) -> Group:
    """Length, variety and repetition of the words in lower case without punctuation, by white space."""
    return _by_block(captions, _normal_words)


def character_runs(captions: Captions) -> Group:
    """`character_repetition`: the share of the most frequent runs of ten characters.

    Of a caption's runs, at every position, the most frequent ones are counted: at most as many as the square root of
    the number of different runs, and none that stands there once.
    """
    return _by_block(captions, _character_runs)


def _by_block(captions: Captions, measure: Callable[[forms.Block], Group]) -> Group:
    """``measure`` of all blocks together, and of none at all."""
    groups = [measure(block) for block in forms.blocks(captions)] or [measure(forms.Block([]))]
    return {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}


def _written_words(texts: forms.Block) -> Group:
    of, n = texts.flat, len(texts)
    words = forms.runs(of, forms.WORD)
    count = _count(words.owner, n)
    letterless = ~forms.having(of, words, forms.LETTER)
    capital = forms.having(of, words, forms.UPPER) & ~forms.having(of, words, forms.LOWER)
    is_symbol = np.logical_or.reduce([of.codes == symbol for symbol in SYMBOLS])
    symbols = _count(of.owner[is_symbol], n) + _three_dots(of, n)
    is_upper = (of.kinds & forms.UPPER) != 0
    return {
        "letterless_words": _share(_count(words.owner[letterless], n), count),
        "capital_words": _share(_count(words.owner[capital], n), count),
        "symbol_ratio": _share(symbols, count),
        "capitals": _share(_count(of.owner[is_upper], n), _count(of.owner, n)),
    }


def _three_dots(of: forms.Flat, n: int) -> forms.Numbers:
    """The number of ``...`` in each of n captions, without overlap."""
    dots = np.flatnonzero(of.codes == ord("."))
    owner = of.owner[dots]
    new = np.ones(len(dots), bool)
    new[1:] = (np.diff(dots) > 1) | (np.diff(owner) > 0)
    start = np.flatnonzero(new)
    threes = np.diff(np.append(start, len(dots))) // 3
    return _sum(threes, owner[start], n)


def _normal_words(texts: forms.Block) -> Group:
    of, n = texts.normal, len(texts)
    words = forms.runs(of, 0)
    hashes = forms.hashed(of, words.start, words.stop)
    count = _count(words.owner, n)
    characters = _sum(words.lengths, words.owner, n)
    is_digit = (of.kinds & forms.NUMERIC) != 0
    is_stop = among(hashes, _stop_words())
    again = forms.repeats(hashes, words.owner)
    # Natural logarithms of whole numbers from a table: NumPy's own may differ by the processor in the last bit.
    logs = _logs(1 << int(count.max(initial=1)).bit_length())
    repeated = np.bincount(again.owner, logs[again.times] * again.times, n)
    return {
        "mean_word_length": _share(characters, count),
        "unique_words": _share(count - _sum(again.times - 1, again.owner, n), count),
        "word_entropy": np.maximum(0.0, logs[np.maximum(count, 1)] - _share(repeated, count)),
        "stop_words": _share(_count(words.owner[is_stop], n), count),
        "digits": _share(_count(of.owner[is_digit], n), characters + np.maximum(count - 1, 0)),
        "top_bigram": _top_gram(hashes, words, characters, 2),
        "top_trigram": _top_gram(hashes, words, characters, 3),
    }


def _top_gram(
    hashes: forms.Hashes, words: forms.Words, characters: forms.Numbers, size: int
) -> Values:
    """The characters of the most frequent run of ``size`` words that stands at least twice, over all words' characters.

    Of equally frequent runs the one that stands first counts. Overlapping runs count their words more than once: at
    most 1.
    """
    found, first = forms.grams(hashes, words.owner, size)
    repeated = forms.repeats(found, words.owner[first])
    order = np.lexsort((repeated.first, -repeated.times, repeated.owner))
    owner = repeated.owner[order]
    best = order[np.flatnonzero(np.diff(owner, prepend=-1))]
    position = first[repeated.first[best]]
    length = sum(words.lengths[position + place] for place in range(size))
    values = np.zeros(len(characters))
    owner = repeated.owner[best]
    values[owner] = np.minimum(1.0, length * repeated.times[best] / characters[owner])
    return values


def _character_runs(texts: forms.Block) -> Group:
    n = len(texts)
    runs = np.maximum(0, texts.lengths - REPEATED_CHARACTERS + 1)
    again = forms.repeated_runs(texts.flat, REPEATED_CHARACTERS)
    different = runs - _sum(again.times - 1, again.owner, n)
    order = np.lexsort((-again.times, again.owner))
    owner, count = again.owner[order], again.times[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    # The square root of a whole number below 2^52 is rounded the right way down.
    frequent = rank < np.sqrt(different[owner]).astype(np.int64)
    share = _share(_sum(count[frequent], owner[frequent], n), runs)
    return {"character_repetition": share}


@cache
def _stop_words() -> forms.Hashes:
    return WordList(STOP_WORDS).by_size[1]


@cache
def _logs(count: int) -> Values:
    return np.array([0.0, *(math.log(number) for number in range(1, count))])


def _count(owner: forms.Numbers, n: int) -> forms.Numbers:
    return np.bincount(owner, minlength=n)


def _sum(values: forms.Numbers, owner: forms.Numbers, n: int) -> forms.Numbers:
    return np.bincount(owner, values, n).astype(np.int64)


def _share(part: npt.NDArray[np.int64] | Values, whole: forms.Numbers) -> Values:
    """Part / whole, and 0 where there is nothing."""
    return part / np.maximum(whole, 1)
