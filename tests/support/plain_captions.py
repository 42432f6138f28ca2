"""Signals of one caption, written out word by word, as the released definitions have them."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter

from tamis.pipeline.signals.caption_words import STOP_WORDS

Texts = list[str]


def written(text: str) -> Texts:
    return re.findall(r"\w+|[^\w\s]+", text)


def normal(text: str) -> Texts:
    bare = "".join(character for character in text if character not in string.punctuation)
    return unicodedata.normalize("NFD", bare.lower()).split()


def share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def symbol_ratio(text: str) -> float:
    return share(sum(text.count(mark) for mark in ("#", "...", "\u2026")), len(written(text)))


def letterless_words(text: str) -> float:
    words = written(text)
    return share(sum(not any(map(str.isalpha, word)) for word in words), len(words))


def capital_words(text: str) -> float:
    words = written(text)
    return share(sum(map(str.isupper, words)), len(words))


def capitals(text: str) -> float:
    return share(sum(map(str.isupper, text)), len(text))


def mean_word_length(text: str) -> float:
    words = normal(text)
    return share(sum(map(len, words)), len(words))


def unique_words(text: str) -> float:
    words = normal(text)
    return share(len(set(words)), len(words))


def word_entropy(text: str) -> float:
    words = normal(text)
    shares = [count / len(words) for count in Counter(words).values()]
    return -sum(one * math.log(one) for one in shares)


def stop_words(text: str) -> float:
    words = normal(text)
    return share(sum(word in STOP_WORDS for word in words), len(words))


def digits(text: str) -> float:
    joined = " ".join(normal(text))
    return share(sum(map(str.isnumeric, joined)), len(joined))


def top_gram(text: str, size: int) -> float:
    words = normal(text)
    grams = Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))
    if not grams:
        return 0.0
    gram, count = grams.most_common(1)[0]
    if count == 1:
        return 0.0
    return min(1.0, sum(map(len, gram)) * count / sum(map(len, words)))


def top_bigram(text: str) -> float:
    return top_gram(text, 2)


def top_trigram(text: str) -> float:
    return top_gram(text, 3)


def character_repetition(text: str) -> float:
    grams = Counter(text[at : at + 10] for at in range(len(text) - 9))
    counts = sorted(grams.values(), reverse=True)
    frequent = min(int(math.sqrt(len(counts))), sum(count > 1 for count in counts))
    return share(sum(counts[:frequent]), sum(counts))


PLAIN = {
    function.__name__: function
    for function in (
        symbol_ratio,
        letterless_words,
        capital_words,
        capitals,
        mean_word_length,
        unique_words,
        word_entropy,
        stop_words,
        digits,
        top_bigram,
        top_trigram,
        character_repetition,
    )
}
