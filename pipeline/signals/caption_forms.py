"""Captions as flat arrays of code points, so that many are measured at once.

Words and runs of characters are compared by 54 bits of a hash: two of the 30 words of a caption are taken for one in
one of 10^13 captions.
"""

from __future__ import annotations

import string
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

BLOCK_CAPTIONS = 1 << 10
BLOCK_CHARACTERS = 1 << 20
"""Most of a block, but of one with a single caption: its arrays take about 60 bytes a character."""

SPACE, WORD, LETTER, UPPER, LOWER, NUMERIC, PUNCTUATION, SPECIAL = (1 << bit for bit in range(8))
"""Kinds of a character, as Python's `str` has them; PUNCTUATION is that of ASCII, WORD what ``\\w`` finds.

SPECIAL is what is neither letter, mark, number (Unicode categories L, M, N) nor white space.
"""

SIGMA = "\u03a3"
_HASH_BITS = 54
_BASE = 0x9E3779B97F4A7C15
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_SHORT_BASE = 0x9E3779B1
_MULTIPLIERS = (0x85EBCA6B, 0xC2B2AE35)
_WINDOW = 4
"""Short runs of which one is chosen: with more, fewer are compared, and more of them repeat by chance."""

_NO_PUNCTUATION = {ord(mark): None for mark in string.punctuation}

Captions = Sequence[str | None]
Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


class Flat(NamedTuple):
    """The characters of n captions, one after another: code point, kinds, and number of the caption."""

    codes: npt.NDArray[np.uint32]
    kinds: npt.NDArray[np.uint8]
    owner: Numbers


class Words(NamedTuple):
    """Words of n captions in order: its caption's number, its characters (from, to)."""

    owner: Numbers
    start: Numbers
    stop: Numbers

    @property
    def lengths(self) -> Numbers:
        """Characters of each word."""
        return self.stop - self.start


class Repeats(NamedTuple):
    """Hashes that repeat in a caption: the caption's number, how often each stands there, and where first."""

    owner: Numbers
    times: Numbers
    first: Numbers


class Block(list[str]):
    """Some captions, null being empty: what several signals need of them is made once."""

    def __init__(self, captions: Captions) -> None:
        super().__init__(caption or "" for caption in captions)
        self.groups: dict[Any, Any] = {}
        """Groups of signals that have been computed, by their functions."""

    @cached_property
    def lengths(self) -> Numbers:
        """The characters of each."""
        return np.fromiter(map(len, self), np.int64, len(self))

    @cached_property
    def flat(self) -> Flat:
        """Its characters."""
        return flat(self, self.lengths)

    @cached_property
    def words(self) -> Words:
        """Its words: what white space divides."""
        return runs(self.flat, 0)

    @cached_property
    def normal(self) -> Flat:
        """Its characters in the normal form."""
        return normal(self)


def blocks(captions: Captions) -> Iterator[Block]:
    """The captions in order, some thousand at a time; a block is one."""
    if isinstance(captions, Block):
        yield captions
        return
    for start in range(0, len(captions), BLOCK_CAPTIONS):
        block = Block(captions[start : start + BLOCK_CAPTIONS])
        while len(block) > 1 and sum(map(len, block)) > BLOCK_CHARACTERS:
            total = list(accumulate(map(len, block)))
            cut = max(1, bisect_right(total, BLOCK_CHARACTERS))
            yield Block(block[:cut])
            block = Block(block[cut:])
        if block:
            yield block


def flat(texts: Sequence[str], lengths: Numbers | None = None) -> Flat:
    """The characters of the texts, whose ``lengths`` may be known."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    if lengths is None:
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    highest = int(codes.max(initial=0))
    kinds = _kinds(1 << highest.bit_length())[codes]
    return Flat(codes, kinds, np.repeat(np.arange(len(texts)), lengths))


def normal(texts: Sequence[str]) -> Flat:
    """The characters of the texts in lower case, in NFD, without ASCII punctuation: RedPajama-V2's normal form.

    White space stays as it is; the words are the same.
    """
    whole = flat([text.lower() if text.isascii() else _lower(text) for text in texts])
    keep = np.flatnonzero((whole.kinds & PUNCTUATION) == 0)
    return Flat(whole.codes.take(keep), whole.kinds.take(keep), whole.owner.take(keep))


def folded(texts: Block) -> Flat:
    """The characters of the texts regardless of case; where one becomes two, the kinds are those of what it becomes."""
    codes = np.frombuffer("".join(texts).casefold().encode("utf-32-le"), np.uint32)
    if len(codes) == len(texts.flat.codes):
        return texts.flat._replace(codes=codes)
    return flat([text.casefold() for text in texts])


def runs(of: Flat, alike: int) -> Words:
    """Words: the longest runs of characters that have the same kinds among ``alike`` and are no white space."""
    if not len(of.codes):
        return Words(*(np.zeros(0, np.int64),) * 3)
    kinds = of.kinds & (alike | SPACE)
    new = np.ones(len(kinds), bool)
    np.not_equal(kinds[1:], kinds[:-1], out=new[1:])
    new[np.searchsorted(of.owner, np.arange(of.owner[0], of.owner[-1] + 1))] = True
    start = np.flatnonzero(new)
    stop = np.append(start[1:], len(kinds))
    is_word = (kinds[start] & SPACE) == 0
    start = start[is_word]
    return Words(of.owner[start], start, stop[is_word])


def having(of: Flat, words: Words, kinds: int) -> npt.NDArray[np.bool_]:
    """True for each word that has a character of one of the ``kinds``."""
    total = np.zeros(len(of.kinds) + 1, np.int32)
    np.cumsum((of.kinds & kinds) != 0, out=total[1:])
    found: npt.NDArray[np.bool_] = total[words.stop] != total[words.start]
    return found


def hashed(of: Flat, start: Numbers, stop: Numbers) -> Hashes:
    """A hash of each span of characters, which depends on its characters alone."""
    sums, inverses = _sums(of)
    return mixed((sums[stop] - sums[start]) * inverses[start])


def repeated_runs(of: Flat, size: int) -> Repeats:
    """The runs of ``size`` characters that stand at least twice in a caption, at any position, in order of captions."""
    kept = np.flatnonzero(_perhaps_repeating(of, size)[of.owner])
    few = Flat(of.codes[kept], of.kinds[kept], of.owner[kept])
    count = max(0, len(kept) - size + 1)
    places = np.flatnonzero(few.owner[:count] == few.owner[size - 1 :][:count])
    hashes, owner = hashed(few, places, places + size), few.owner[places]
    among = _perhaps_repeated(hashes, owner)
    again = _counted(hashes[among], owner[among], places[among])
    return again._replace(first=kept[again.first])


def _perhaps_repeating(of: Flat, size: int) -> npt.NDArray[np.bool_]:
    """True for each caption in which a run of ``size`` characters repeats, and for few others.

    Of the short runs inside a long one the one with the least hash is chosen (winnowing, Schleimer et al. 2003): where
    the long one stands again, so does its choice. Only the chosen are compared.
    """
    captions = int(of.owner[-1]) + 1 if len(of.owner) else 0
    window = min(_WINDOW, size)
    hashes = _short_hashes(of, size - window + 1)
    count = max(0, len(hashes) - window + 1)
    least = np.minimum.reduce([hashes[place:][:count] for place in range(window)])
    chosen = np.zeros(len(hashes), bool)
    for place in range(window):
        chosen[place:][:count] |= hashes[place:][:count] == least
    found = np.flatnonzero(chosen)
    for multiplier in _MULTIPLIERS:
        keys = of.owner[found].astype(np.uint32)
        keys *= np.uint32(_SHORT_BASE)
        keys ^= hashes[found]
        keys *= np.uint32(multiplier)
        bits = max(10, (2 * len(keys)).bit_length())
        found = found[_in_shared((keys >> np.uint32(max(0, 32 - bits))).astype(np.int64), bits)]
    again = (of.owner[found].astype(np.uint64) << np.uint64(32)) | hashes[found]
    again.sort()
    repeating = np.zeros(captions, bool)
    repeating[(again[1:][again[1:] == again[:-1]] >> np.uint64(32)).astype(np.int64)] = True
    return repeating


def _short_hashes(of: Flat, size: int) -> npt.NDArray[np.uint32]:
    """A hash of 32 bits of each ``size`` characters that follow each other, over the ends of captions too."""
    count = max(0, len(of.codes) - size + 1)
    powers, inverses = _short_powers(1 << max(10, len(of.codes).bit_length()))
    sums = np.zeros(len(of.codes) + 1, np.uint32)
    terms = of.codes + np.uint32(1)
    terms *= powers[: len(terms)]
    np.cumsum(terms, out=sums[1:])
    hashes: npt.NDArray[np.uint32] = sums[size:][:count] - sums[:count]
    hashes *= inverses[:count]
    return hashes


def grams(words: Hashes, owner: Numbers, size: int) -> tuple[Hashes, Numbers]:
    """A hash of each ``size`` words that follow each other in a caption, and the positions of their first words."""
    count = max(0, len(words) - size + 1)
    together = words[:count]
    for place in range(1, size):
        together = mixed(together * np.uint64(_BASE) + words[place : place + count])
    first = np.flatnonzero(owner[:count] == owner[size - 1 :][:count])
    return together[first], first


def repeats(hashes: Hashes, owner: Numbers) -> Repeats:
    """The hashes that stand at least twice in a caption, in order of captions."""
    places = _perhaps_repeated(hashes, owner)
    return _counted(hashes[places], owner[places], places)


def _counted(hashes: Hashes, owner: Numbers, places: Numbers) -> Repeats:
    """The hashes that stand at least twice in a caption; ``places`` are theirs, ascending."""
    keys = _keys(hashes, owner)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    start = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    count = np.diff(np.append(start, len(keys)))
    start, count = start[count > 1], count[count > 1]
    return Repeats(
        (keys[start] >> np.uint64(_HASH_BITS)).astype(np.int64), count, places[order[start]]
    )


def repeated(hashes: Hashes, owner: Numbers) -> npt.NDArray[np.bool_]:
    """True for each hash that stands again in its caption."""
    mask = np.zeros(len(hashes), bool)
    places = _perhaps_repeated(hashes, owner)
    keys = _keys(hashes[places], owner[places])
    _, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
    mask[places] = times[inverse] > 1
    return mask


def _keys(hashes: Hashes, owner: Numbers) -> Hashes:
    """Caption and hash as one number."""
    bits = np.uint64(_HASH_BITS)
    return (owner.astype(np.uint64) << bits) | (hashes >> (np.uint64(64) - bits))


def _sums(of: Flat) -> tuple[Hashes, Hashes]:
    """Sums of the characters' terms of a polynomial up to each character, and the inverse of each one's power."""
    powers, inverses = _powers(1 << max(10, len(of.codes).bit_length()))
    codes = of.codes.astype(np.uint64)
    codes += np.uint64(1)
    codes *= powers[: len(codes)]
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes, out=sums[1:])
    return sums, inverses


def _perhaps_repeated(hashes: Hashes, owner: Numbers) -> Numbers:
    """The places of all hashes that stand again in their caption, and of few others: those that share a slot."""
    bits = max(10, (4 * len(hashes)).bit_length())
    slots = owner.astype(np.uint64)
    slots *= np.uint64(_BASE)
    slots ^= hashes
    slots >>= np.uint64(64 - bits)
    return _in_shared(slots.view(np.int64), bits)


def _in_shared(slots: Numbers, bits: int) -> Numbers:
    """The places of the slots, below 2^bits, that stand there again."""
    places = np.arange(len(slots), dtype=np.int32)
    last = np.empty(1 << bits, np.int32)
    last[slots] = places
    shared = np.zeros(len(last), bool)
    shared[slots[last[slots] != places]] = True
    return np.flatnonzero(shared[slots])


def mixed(values: Hashes) -> Hashes:
    """Each value with its bits spread over the whole word (the last steps of SplitMix64)."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _lower(text: str) -> str:
    if SIGMA in text:  # whose small form depends on the letters beside it: punctuation goes first
        text = text.translate(_NO_PUNCTUATION)
    return unicodedata.normalize("NFD", text.lower())


@cache
def _kinds(count: int) -> npt.NDArray[np.uint8]:
    """The kinds of the first ``count`` code points."""
    return np.array([_kind(chr(code)) for code in range(min(count, 0x110000))], np.uint8)


def _kind(character: str) -> int:
    return (
        SPACE * character.isspace()
        | WORD * (character.isalnum() or character == "_")
        | LETTER * character.isalpha()
        | UPPER * character.isupper()
        | LOWER * (character.islower() or (character.istitle() and not character.isupper()))
        | NUMERIC * character.isnumeric()
        | PUNCTUATION * (character in string.punctuation)
        | SPECIAL * (unicodedata.category(character)[0] not in "LMN" and not character.isspace())
    )


@cache
def _short_powers(count: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """The powers of the short base below ``count``, modulo 2^32, and their inverses."""
    both = []
    for base in (_SHORT_BASE, pow(_SHORT_BASE, -1, 1 << 32)):
        powers = np.full(count, base, np.uint32)
        powers[0] = 1
        both.append(np.cumprod(powers, dtype=np.uint32))
    return both[0], both[1]


@cache
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """The powers of the base below ``count``, modulo 2^64, and their inverses."""
    both = []
    for base in (_BASE, _BASE_INVERSE):
        powers = np.full(count, base, np.uint64)
        powers[0] = 1
        both.append(np.cumprod(powers))
    return both[0], both[1]
