"""Words of scripts without blanks: known sentences, and what all other captions keep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.near_captions.folding import normalise
from tamis.pipeline.algorithms.near_captions.segmentation import segmented

pytest.importorskip("icu4py")

KNOWN = [
    "我们 在 公园 里 散步",
    "蓝色 的 天空 和 白色 的 云",
    "青い 空 と 白い 雲",
    "古い 本 と ランプ",
    "แมว นั่ง อยู่ บน เก้าอี้",
    "เด็ก เล่น ใน สวน",
]


@pytest.mark.parametrize("words", KNOWN)
def test_sentences_are_cut_into_their_words(words: str) -> None:
    assert segmented(words.replace(" ", "")) == words
    assert segmented(words) == words


def test_other_scripts_beside_a_run_are_words_and_punctuation_is_none() -> None:
    assert segmented("iPhone手机, 2024年 — red case") == "iPhone 手机 2024 年 red case"


@pytest.mark.parametrize(
    "text", ["", "a red fox", "a , b", "кот на стуле", "고양이 가 앉아", "قطة", "नमस्ते जी"]
)
def test_captions_without_such_a_script_stay_as_they_are(text: str) -> None:
    assert segmented(text) == text


@given(
    st.text(
        st.one_of(st.sampled_from("红色汽车停在海边赤い車แมวเก้าอี้ab1 ,。"), st.characters()),
        max_size=40,
    )
)
def test_letters_and_digits_keep_their_order_and_words_are_found_again(text: str) -> None:
    (caption,) = normalise([text])
    cut = segmented(caption)
    assert segmented(cut) == segmented(segmented(cut))
    kept = [char for char in cut if char.isalnum()]
    assert kept == [char for char in caption if char.isalnum()]
    assert cut == " ".join(cut.split())
