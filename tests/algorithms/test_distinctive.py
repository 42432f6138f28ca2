"""Names of groups of captions."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms import distinctive

BIRDS = ["A red bird", "bird on a branch", "the BIRD sings", "a branch", "the red branch"]
ELSEWHERE = distinctive.frequencies([*BIRDS, *[f"a red house of {n}" for n in range(20)]])


def test_words_are_folded_and_counted_once_a_caption() -> None:
    assert distinctive.words("Bird, bird; \uff22\uff29\uff32\uff24! x 12 don't mime-type_2") == {
        "bird",
        "don't",
        "mime-type_2",
    }
    assert distinctive.frequencies(["bird bird", "Bird"]) == {"bird": 2}
    assert distinctive.words("ქ 猫") == {"ქ", "猫"}


def test_a_name_has_what_the_group_shares_and_others_lack() -> None:
    assert distinctive.name(BIRDS, ELSEWHERE, 25) == "bird, branch, the"


def test_a_word_within_another_is_said_once() -> None:
    captions = ["bird birds", "bird birds fly", "birds bird", "fly bird birds"]
    assert distinctive.name(captions, Counter(), 0) == "bird, fly"


def test_one_caption_said_often_is_one() -> None:
    assert distinctive.name(["odd"] * 9 + BIRDS, ELSEWHERE, 25) == "bird, branch, the"


@pytest.mark.parametrize("captions", [[], [""], ["12 !"]])
def test_without_words_there_is_no_name(captions: list[str]) -> None:
    assert distinctive.name(captions, ELSEWHERE, 25) == ""


@given(st.permutations(BIRDS))
def test_the_order_of_captions_is_of_no_account(captions: list[str]) -> None:
    assert distinctive.name(captions, ELSEWHERE, 25) == "bird, branch, the"


@given(st.lists(st.text(max_size=30), max_size=8))
def test_names_are_of_letters_digits_and_hyphens(captions: list[str]) -> None:
    """So that none needs to be escaped."""
    name = distinctive.name(captions, Counter(), 0)
    assert not set(name) & set('<>&"`\\\n\x1b')
