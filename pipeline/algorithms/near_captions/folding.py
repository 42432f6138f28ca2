"""Captions in one form, so that two which read the same are the same.

Always: invisible characters (zero-width characters, marks of direction, soft hyphens, variation selectors) are removed;
then NFKC (full-width forms, ligatures, composed accents), but raised and lowered digits stay what they are; case
folding; and NFKC again, because folding can undo it. A run of Unicode white space becomes one space, none at the ends.
Punctuation and digits stay: `page 1` and `page 2` are two captions.

On demand, each by its name in FOLDS: `markup` reads HTML's entities and leaves tags out; `quotes` makes curly quotes
and long dashes those of ASCII; `vowels` leaves out the vowel marks of Arabic and Hebrew, and the stroke that lengthens
Arabic words.
"""

import html
import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Literal

Fold = Literal["markup", "quotes", "vowels"]

FOLDS: tuple[Fold, ...] = ("markup", "quotes", "vowels")
"""The kinds of marks that can be folded."""

# Unicode's Default_Ignorable_Code_Point, which its NFKC_Casefold leaves out too. Tags (E0020 to E007F) stay, because
# the flags of Scotland and Wales differ in them.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e001f\U000e0080-\U000e0fff]+"
)
_RAISED = re.compile("([\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089]+)")
_TAG = re.compile("</?[a-zA-Z][^<>]*>|<!--[^<>]*-->")
_VOWELS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]+"
)
_QUOTES = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u00b4\u2032", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-")
)


DEPTH = 16
"""Entities inside entities, and tags inside tags, that are read: more are no work of people, and each costs a pass."""

# Python refuses to read numbers of more than 4,300 digits, or of fewer where it is set so, 640 at the least.
_HUGE_REFERENCE = re.compile("&#[0-9]{641,};?")


def normalise(texts: Sequence[str | None], folds: Collection[Fold] = FOLDS) -> list[str]:
    """Normalise n captions for comparison, as above; a null or invisible caption becomes "".

    Args:
        texts: n captions.
        folds: what else is folded.
    """
    return [_normal(text, folds) if text else "" for text in texts]


def is_visible(text: str) -> bool:
    """Whether a caption has anything to see."""
    return bool(text.strip()) and (text.isascii() or bool(_INVISIBLE.sub("", text).strip()))


def without_huge_references(text: str) -> str:
    """A text whose entities `html.unescape` can read: one of more than 640 digits is U+FFFD already."""
    return _HUGE_REFERENCE.sub("\ufffd", text) if "&#" in text else text


def _normal(text: str, folds: Collection[Fold]) -> str:
    for _ in range(DEPTH):
        # Most captions are ASCII without marks, which NFKC leaves as it is, and for which folding is lower case.
        marked = "markup" in folds and ("&" in text or "<" in text)
        if text.isascii() and not marked:
            if text.isprintable() and "  " not in text:
                return text.lower().strip(" ")
            return " ".join(text.lower().split())
        once = _folded(text, folds)
        # What comes out of an entity or a full-width form may be an entity or a tag.
        if once == text or not ("&" in once or "<" in once):
            return once
        text = once
    return text


def _folded(text: str, folds: Collection[Fold]) -> str:
    if "markup" in folds:
        text = _TAG.sub(" ", html.unescape(without_huge_references(text)))
    text = _INVISIBLE.sub("", text)
    if "quotes" in folds:
        text = text.translate(_QUOTES)
    text = _compatible(_compatible(text).casefold())
    if "quotes" in folds:
        text = text.translate(_QUOTES)
    if "vowels" in folds:
        text = _VOWELS.sub("", text)
    return " ".join(text.split())


def _compatible(text: str) -> str:
    """NFKC of all but raised and lowered digits."""
    if not _RAISED.search(text):
        return unicodedata.normalize("NFKC", text)
    pieces = _RAISED.split(text)
    # Every second piece is one of digits.
    pieces[::2] = [unicodedata.normalize("NFKC", piece) for piece in pieces[::2]]
    return "".join(pieces)
