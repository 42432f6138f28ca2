"""Boilerplate of captions: runs of words that many captions share, such as the tails of stock sites.

A run is so many words in a row, between blanks, of a caption in its folded form. Runs are compared by 64 bits of a
hash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import xxhash

from tamis.pipeline.algorithms.shares import rounded_up

FEWEST = 5
"""Captions in which a frequent run stands, at least, however few there are."""


def runs(words: Sequence[str], length: int) -> list[int]:
    """The hash of every run of ``length`` words, in order; none of a shorter caption."""
    return [
        xxhash.xxh3_64_intdigest(" ".join(words[start : start + length]).encode())
        for start in range(len(words) - length + 1)
    ]


def frequent(
    captions: Iterable[str], length: int, most: int, share: float
) -> list[tuple[int, str, int]]:
    """The most frequent runs of some captions: (hash, text, captions that have it), the most frequent first.

    A caption counts once, however often it comes and however often a run stands in it. Runs of equal frequency are in
    the order of their hashes.

    Args:
        captions: folded.
        length: words of a run.
        most: runs, at most.
        share: of the different captions, that have a run at least; never fewer than FEWEST.
    """
    different = sorted(set(captions))
    counts: Counter[int] = Counter()
    for caption in different:
        counts.update(set(runs(caption.split(), length)))
    least = max(FEWEST, rounded_up(share, len(different)))
    found = sorted((-count, run) for run, count in counts.items() if count >= least)[:most]
    texts = _texts(different, {run for _, run in found}, length)
    return [(run, texts[run], -count) for count, run in found]


def _texts(captions: Iterable[str], wanted: Collection[int], length: int) -> dict[int, str]:
    """The words of some runs."""
    texts: dict[int, str] = {}
    for caption in captions:
        words = caption.split()
        for start, run in enumerate(runs(words, length)):
            if run in wanted and run not in texts:
                texts[run] = " ".join(words[start : start + length])
        if len(texts) == len(wanted):
            break
    return texts


def share(caption: str, known: Collection[int], length: int) -> float:
    """The share of a folded caption's words that stand in one of the ``known`` runs; 0 where it has no word."""
    words = caption.split()
    covered = bytearray(len(words))
    for start, run in enumerate(runs(words, length)):
        if run in known:
            covered[start : start + length] = b"\1" * length
    return sum(covered) / len(words) if words else 0.0
