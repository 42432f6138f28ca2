"""Counts of personal data in captions: mail addresses and telephone numbers, by their form alone."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.signals import caption_forms as forms
from tamis.pipeline.signals.caption_forms import Captions

# Every repetition is bounded, and a lookbehind stops a second try inside a run: so each pattern takes linear time.
_MAIL = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}(?![a-z0-9-])",
    re.IGNORECASE | re.ASCII,
)

_GAP = r"[ ./()-]{0,2}"
_DATE = r"0[1-9](?P<mark>[./-])[0-3]?[0-9](?P=mark)(?:19|20)[0-9]{2}(?![0-9])"
_TELEPHONE = re.compile(
    r"(?<![\w.,+])(?:"
    rf"(?P<international>(?:\+|00(?={_GAP}[1-9]))[0-9]{{0,3}}(?:{_GAP}[0-9]){{5,14}})"
    r"|(?P<north_american>(?:\([0-9]{3}\) ?|[0-9]{3}[.-])[0-9]{3}[.-][0-9]{4})"
    rf"|(?P<national>(?<![0-9][/-])(?!{_DATE})\(?0[1-9][0-9]{{0,3}}\)?[ ./-](?:[0-9][ ./-]?){{4,10}}[0-9])"
    r")(?![0-9])",
    re.ASCII,
)
_FURTHEST = 4
"""From a digit of a telephone number to the next, in characters."""

_FEWEST_DIGITS = 9
"""Of an international or national number: one with fewer is a date as often as a telephone number."""


def mail_addresses(captions: Captions) -> NDArray[np.int32]:
    """Mail addresses in each of n captions, int32 (n,)."""
    counts = [np.zeros(0, np.int32)]
    for texts in forms.blocks(captions):
        of, found = texts.flat, np.zeros(len(texts), np.int32)
        for number in np.unique(of.owner[of.codes == ord("@")]).tolist():
            found[number] = len(_MAIL.findall(texts[number]))
        counts.append(found)
    return np.concatenate(counts)


def telephone_numbers(captions: Captions) -> NDArray[np.int32]:
    """Telephone numbers in each of n captions, int32 (n,).

    International (+44 20 7946 0958), North American ((555) 012-3456, 555-012-3456), or with a leading zero and a gap
    behind the area's digits (030 12345678), of nine digits or more. A run of digits alone is none of them, nor is a
    date with its time (2019-05-12-09-30-12, 05.12.2019 09:30).
    """
    counts = [np.zeros(0, np.int32)]
    for texts in forms.blocks(captions):
        of, found = texts.flat, np.zeros(len(texts), np.int32)
        for number in _with_digits_close_by(of).tolist():
            found[number] = sum(map(_is_telephone, _TELEPHONE.finditer(texts[number])))
        counts.append(found)
    return np.concatenate(counts)


def _with_digits_close_by(of: forms.Flat) -> forms.Numbers:
    """The captions with so many digits one after another that a number could have, at most three characters apart."""
    digits = np.flatnonzero(of.codes - np.uint32(ord("0")) < 10)  # below "0" it wraps around
    owner = of.owner[digits]
    count = max(0, len(digits) - _FEWEST_DIGITS + 1)
    close = (np.diff(digits) <= _FURTHEST) & (owner[1:] == owner[:-1])
    run = np.logical_and.reduce([close[place:][:count] for place in range(_FEWEST_DIGITS - 1)])
    return np.unique(owner[:count][run])


def _is_telephone(found: re.Match[str]) -> bool:
    return sum(map(str.isdigit, found[0])) >= _FEWEST_DIGITS
