"""Signals of words and characters, against hand cases and against a plain version of each."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.signals import caption_forms
from tamis.pipeline.signals.caption_forms import Captions
from tamis.pipeline.signals.caption_words import (
    by_block,
    character_runs,
    measured,
    normal_words,
    written_words,
)
from tamis.pipeline.signals.kinds import TextSignal
from tamis.pipeline.signals.registry import SIGNALS
from tests.support.plain_captions import PLAIN

SALE = "SALE! Buy red shoes, buy red shoes #shoes 50% ..."
CAT = "A tabby cat asleep on a red wool blanket."

# Few different pieces, so that words and runs of characters repeat; capitals, marks and digits of several alphabets.
PIECES = (
    "red",
    "Red",
    "SHOES",
    " ",
    "  ",
    "\n",
    ".",
    "...",
    "#",
    "50",
    "\u00bd",
    "\u2026",
    "a-b",
    "\u00e9",
)
MORE = (
    "\u01c5",
    "\u03a3",
    "\u0130",
    "\u0939\u093f",
    "\u65e5\u672c",
    "\U0001f44d",
    "_",
    "the ",
    "x" * 12,
)
TEXTS = st.lists(st.sampled_from(PIECES + MORE), max_size=30).map("".join)
CAPTIONS = st.lists(st.none() | TEXTS | st.text(max_size=60), max_size=8)


def all_of(captions: Captions) -> dict[str, np.ndarray]:
    groups = [measure(captions) for measure in (written_words, normal_words, character_runs)]
    return {name: values for group in groups for name, values in group.items()}


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (
            SALE,
            {
                "mean_word_length": 33 / 9,
                "unique_words": 5 / 9,
                "word_entropy": 1.522955,
                "symbol_ratio": 2 / 14,
                "letterless_words": 6 / 14,
                "capital_words": 1 / 14,
                "top_bigram": 12 / 33,  # `buy red`, which stands before `red shoes`
                "top_trigram": 22 / 33,
                "digits": 2 / 41,
            },
        ),
        (
            CAT,
            {
                "mean_word_length": 32 / 9,
                "unique_words": 8 / 9,
                "word_entropy": 2.043192,
                "symbol_ratio": 0.0,
                "letterless_words": 0.1,
                "capital_words": 0.1,
                "top_bigram": 0.0,
                "stop_words": 3 / 9,
                "capitals": 1 / 41,
                "character_repetition": 0.0,
            },
        ),
        ("ha ha ha ha ha", {"top_bigram": 1.0, "top_trigram": 1.0, "character_repetition": 2 / 5}),
        (
            "\u0441\u043e\u0431\u0430\u043a\u0430 \u0438 \u043a\u043e\u0442",
            {"letterless_words": 0.0},
        ),
        ("!!!", {"letterless_words": 1.0, "mean_word_length": 0.0, "word_entropy": 0.0}),
        ("", {"letterless_words": 0.0, "capitals": 0.0, "digits": 0.0}),
    ],
)
def test_captions_by_hand(caption: str, expected: dict[str, float]) -> None:
    found = all_of([caption])
    values = {name: float(found[name][0]) for name in expected}
    assert values == pytest.approx(expected, abs=1e-6)


@given(CAPTIONS)
def test_every_signal_is_what_its_plain_version_finds(captions: list[str | None]) -> None:
    found = all_of(captions)
    assert found.keys() == PLAIN.keys()
    for name, plain in PLAIN.items():
        assert found[name].tolist() == pytest.approx([plain(text or "") for text in captions])


@given(CAPTIONS)
def test_a_caption_has_the_same_values_alone_and_among_others(captions: list[str | None]) -> None:
    together = all_of(captions)
    for number, caption in enumerate(captions):
        alone = all_of([caption])
        assert {name: values[number] for name, values in together.items()} == {
            name: values[0] for name, values in alone.items()
        }


def test_captions_of_several_blocks_stay_in_order() -> None:
    rng = random.Random(5)
    captions = [" ".join(rng.choices(PIECES + MORE, k=rng.randrange(20))) for _ in range(2_500)]
    assert len(list(caption_forms.blocks(captions))) == 3
    found = all_of(captions)
    for name, plain in PLAIN.items():
        assert found[name].tolist() == pytest.approx([plain(text) for text in captions]), name


def test_a_block_has_few_characters_or_one_caption() -> None:
    long = "a" * caption_forms.BLOCK_CHARACTERS
    sizes = [len(block) for block in caption_forms.blocks(["b", long, None, "cc", long + "d", "e"])]
    assert sizes == [1, 2, 1, 1, 1]
    assert list(caption_forms.blocks([])) == []


def test_signals_of_blocks_are_those_of_all_captions() -> None:
    captions = [SALE, None, "a b a b"] * 1_000
    named = {name: SIGNALS[name] for name in PLAIN}
    functions = {
        name: signal.load() for name, signal in named.items() if isinstance(signal, TextSignal)
    }
    found = by_block(captions, functions)
    for name, function in functions.items():
        assert found[name].equals(function(captions)), name
    assert [len(values) for values in by_block([], functions).values()] == [0] * len(functions)


def test_a_group_of_a_block_is_computed_once() -> None:
    captions = caption_forms.Block([SALE, None])
    assert measured(captions, normal_words) is measured(captions, normal_words)
    assert measured([SALE], normal_words)["unique_words"].tolist() == [5 / 9]


ALIKE = st.text(alphabet="ab", max_size=60)


@given(st.lists(st.one_of(st.text(max_size=80), ALIKE), max_size=5), st.integers(1, 12))
def test_repeated_runs_are_those_that_stand_twice_in_a_caption(
    captions: list[str], size: int
) -> None:
    found = caption_forms.repeated_runs(caption_forms.flat(captions), size)
    expected = []
    start = 0
    for number, text in enumerate(captions):
        runs = [text[at : at + size] for at in range(len(text) - size + 1)]
        for run, times in Counter(runs).items():
            if times > 1:
                expected.append((number, times, start + runs.index(run)))
        start += len(text)
    assert sorted(zip(*(column.tolist() for column in found), strict=True)) == sorted(expected)
