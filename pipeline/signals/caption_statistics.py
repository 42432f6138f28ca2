"""Signals over captions. A word is the text between Unicode whitespace; a null caption counts as empty."""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.signals import caption_forms as forms
from tamis.pipeline.signals.caption_forms import Captions


def words(captions: Captions) -> NDArray[np.int32]:
    """Number of words of each of n captions, int32 (n,). Text without spaces is one word."""
    counts = [np.zeros(0, np.int32)]
    counts += [
        np.bincount(texts.words.owner, minlength=len(texts)).astype(np.int32)
        for texts in forms.blocks(captions)
    ]
    return np.concatenate(counts)


def characters(captions: Captions) -> NDArray[np.int32]:
    """Number of Unicode code points of each of n captions, whitespace included, int32 (n,)."""
    counts = [np.zeros(0, np.int32)]
    counts += [texts.lengths.astype(np.int32) for texts in forms.blocks(captions)]
    return np.concatenate(counts)


def special_characters(captions: Captions) -> NDArray[np.float64]:
    """Share of special characters among all of a caption's characters, float64 (n,), in [0, 1].

    Special characters are all but letters, combining marks, numbers (Unicode categories L, M, N) and whitespace:
    punctuation, symbols, emoji, control characters. An empty caption has 0.
    """
    shares = [np.zeros(0)]
    for texts in forms.blocks(captions):
        of = texts.flat
        special = np.bincount(of.owner[(of.kinds & forms.SPECIAL) != 0], minlength=len(texts))
        shares.append(special / np.maximum(np.bincount(of.owner, minlength=len(texts)), 1))
    return np.concatenate(shares)


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
    shares = [np.zeros(0)]
    for texts in forms.blocks(captions):
        of = forms.folded(texts)
        found = texts.words if of.owner is texts.flat.owner else forms.runs(of, 0)
        grams, first = forms.grams(forms.hashed(of, found.start, found.stop), found.owner, ngram)
        starts = first[forms.repeated(grams, found.owner[first])]
        inside = np.zeros(len(found.owner), bool)
        for place in range(ngram):
            inside[starts + place] = True
        total = np.bincount(found.owner, found.lengths, len(texts))
        part = np.bincount(found.owner, found.lengths * inside, len(texts))
        shares.append(part / np.maximum(total, 1))
    return np.concatenate(shares)
