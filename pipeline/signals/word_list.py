"""Lists of words, such as those that a caption must not have: how often their entries stand in captions."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from tamis.pipeline.signals import caption_forms as forms
from tamis.pipeline.signals.caption_forms import Captions
from tamis.schemas.errors import InputError

_SLOT_BITS = 14
"""Of a hash, which most words outside a list are told by."""


class WordList:
    """Entries of one word or more, compared with captions in lower case without punctuation, by whole words."""

    def __init__(self, entries: Collection[str]) -> None:
        texts = sorted(set(entries))
        of = forms.normal(texts)
        words = forms.runs(of, 0)
        hashes = forms.hashed(of, words.start, words.stop)
        count = np.bincount(words.owner, minlength=len(texts))
        self.by_size: dict[int, forms.Hashes] = {}
        """Number of words -> sorted hashes of the entries of so many words."""
        for size in sorted(set(count.tolist()) - {0}):
            found, first = forms.grams(hashes, words.owner, size)
            self.by_size[size] = np.unique(found[count[words.owner[first]] == size])

    def occurrences(self, captions: Captions) -> npt.NDArray[np.int32]:
        """The number of entries in each of n captions, int32 (n,); one inside another counts as well."""
        totals = [np.zeros(0, np.int32)]
        for texts in forms.blocks(captions):
            of = texts.normal
            words = forms.runs(of, 0)
            hashes = forms.hashed(of, words.start, words.stop)
            total = np.zeros(len(texts), np.int64)
            for size, wanted in self.by_size.items():
                found, first = forms.grams(hashes, words.owner, size)
                owner = words.owner[first[among(found, wanted)]]
                total += np.bincount(owner, minlength=len(texts))
            totals.append(total.astype(np.int32))
        return np.concatenate(totals)


def among(hashes: forms.Hashes, wanted: forms.Hashes) -> npt.NDArray[np.bool_]:
    """True for each hash that is one of the ``wanted``, which are sorted and different."""
    slots = np.zeros(1 << _SLOT_BITS, bool)
    shift = np.uint64(64 - _SLOT_BITS)
    slots[wanted >> shift] = True
    found: npt.NDArray[np.bool_] = slots[hashes >> shift]
    perhaps = np.flatnonzero(found)
    place = np.searchsorted(wanted, hashes[perhaps])
    found[perhaps] = wanted[np.minimum(place, len(wanted) - 1)] == hashes[perhaps]
    return found


def read_list(data: bytes, name: str) -> WordList:
    """The list in a text file of one entry a line; ``name`` is for messages.

    Raises:
        InputError: the bytes are no text in UTF-8, or have no entry with a letter or digit.
    """
    try:
        entries = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"list {name} is no text in UTF-8 (byte {error.start:,}): write one entry a line"
        ) from None
    found = WordList(entries)
    if not found.by_size:
        raise InputError(f"list {name} has no entry: write one word, or words, a line")
    return found
