"""The demo encoder beside the model that open_clip, timm and transformers make of the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tamis.pipeline import encoders
from tamis.pipeline.encoders.base import Encoder, Precision
from tamis.pipeline.encoders.demo import CONTEXT, tokenizer
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tamis.pipeline.encoders.towers import Towers, to_inference
from tamis.pipeline.inputs.images import to_rgb
from tests.support.encoded import TEXTS, images, open_clip_demo, seen

CAPTIONS = [
    "",
    "an apple (fruit, food)",
    "a [SEP] b [MASK] [PAD] ##ing",
    "&amp;lt;x&gt; cafÃ© ﬁ ÇÉ İstanbul ß",
    "中文 混合 😀 a\tb\nc\u00a0d\u200b \x00\x01",
    "don't  stop--it's U.S.A.",
    "word " * 400,
    "x" * 300,
]


def fold_batch_norms(module: Any) -> None:
    """Put each batch norm into the convolution before it."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    before: str | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, torch.nn.BatchNorm2d) and before is not None:
            setattr(module, before, fuse_conv_bn_eval(getattr(module, before), child))
            setattr(module, name, child.act)
        fold_batch_norms(child)
        before = name if isinstance(child, torch.nn.Conv2d) else None


def as_encoder(model: Any, precision: Precision) -> Towers:
    described = encoders.describe("demo", precision)
    to_inference(model, "cpu", precision)
    widths = (16, 32, 64, CONTEXT)
    return Towers(
        described, "cpu", precision, model.encode_image, model.encode_text, tokenizer(), widths
    )


@pytest.fixture(scope="module")
def pixels(demo: Encoder, example_pairs: dict[str, tuple[bytes, str]]) -> Any:
    pictures = [picture for picture, _ in example_pairs.values()][:8]
    return seen("demo", map(to_rgb, pictures))


@pytest.mark.parametrize(("precision", "count"), [("fp32", 8), ("bf16", 3)])
def test_the_vectors_are_open_clips_to_the_bit(
    precision: Precision, count: int, pixels: Any
) -> None:
    model = open_clip_demo()
    fold_batch_norms(model.visual.trunk)
    theirs, ours = as_encoder(model, precision), encoders.load("demo", "cpu", precision)
    pictures, captions = pixels[:count], CAPTIONS[:count]
    np.testing.assert_array_equal(images(ours, pictures), images(theirs, pictures))
    np.testing.assert_array_equal(ours.encode_texts(captions), theirs.encode_texts(captions))


def test_folding_batch_norms_keeps_the_function(demo: Encoder, pixels: Any) -> None:
    whole = as_encoder(open_clip_demo(), "fp32")
    cosines = (images(demo, pixels) * images(whole, pixels)).sum(axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-5)


def test_tokens_are_those_of_transformers() -> None:
    ensure_torchvision()
    from open_clip.tokenizer import HFTokenizer

    theirs = HFTokenizer(TEXTS, context_length=CONTEXT)(CAPTIONS)
    np.testing.assert_array_equal(tokenizer()(CAPTIONS).numpy(), theirs.numpy())
    assert tokenizer()([]).shape == (0, CONTEXT)
