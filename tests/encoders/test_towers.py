"""On the CPU a call's size is nobody's business: the tower sees pieces of one shape whatever it is."""

from __future__ import annotations

import numpy as np

from pipeline.encoders.base import Encoder
from pipeline.encoders.demo import CONTEXT, tokenizer

CAPTIONS = ["", "a flag", "an apple (fruit, food)", "ß ü 你好 " * 90, *map(str, range(17))]


def test_any_number_of_texts_gives_the_same_bits(demo: Encoder) -> None:
    whole = demo.encode_texts(CAPTIONS)
    one_by_one = np.concatenate([demo.encode_texts([text]) for text in CAPTIONS])
    np.testing.assert_array_equal(one_by_one, whole)
    assert not demo.fixed_rows


def test_tokens_are_those_of_open_clips_own_tokenizer() -> None:
    from open_clip.tokenizer import HFTokenizer

    from pipeline.encoders import demo

    theirs = HFTokenizer(str(demo._text_folder()), context_length=CONTEXT)
    np.testing.assert_array_equal(tokenizer()(CAPTIONS), theirs(CAPTIONS))
