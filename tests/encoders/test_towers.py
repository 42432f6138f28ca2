"""On the CPU a call's size is nobody's business: the tower sees pieces of one shape whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tamis.pipeline.encoders import streaming
from tamis.pipeline.encoders.base import Encoder
from tamis.pipeline.encoders.preprocessing import Pixels
from tamis.pipeline.encoders.towers import Towers
from tests.support.encoded import images


def test_a_text_that_fills_its_width_is_seen_as_among_shorter_ones(demo: Encoder) -> None:
    """All pieces take one path: also those in which nothing is padded."""
    assert isinstance(demo, Towers)
    assert demo._text_tower is not None
    kinds: set[bool] = set()
    attend = torch.nn.functional.scaled_dot_product_attention

    def seen(query: Any, key: Any, value: Any, attn_mask: Any = None) -> Any:
        kinds.add(attn_mask is None)
        return attend(query, key, value, attn_mask)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", seen)
        demo.encode_texts(["word " * 400, "a flag"])
    assert kinds == {False}


@pytest.fixture
def pixels(demo: Encoder) -> Pixels:
    """Seven pictures of noise."""
    assert isinstance(demo, Towers)
    size = demo._preprocessing.size
    return np.random.default_rng(7).integers(0, 256, (7, *size, 3), dtype=np.uint8)


def test_what_travels_as_bytes_becomes_the_same_numbers(
    demo: Encoder, pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch filled up to one shape, in order, and what fills it is not seen."""
    assert isinstance(demo, Towers)
    wanted = images(demo, pixels)
    shapes: list[tuple[int, ...]] = []

    def seen(batch: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(batch.shape))
        return tower(batch)

    tower = demo._image_tower
    monkeypatch.setattr(demo, "_image_tower", seen)
    found = [*demo._on_device([pixels[:4], pixels[4:5], pixels[5:]], 4)]
    assert [len(vectors) for vectors in found] == [4, 1, 2]
    assert set(shapes) == {(4, 3, 224, 224)}
    np.testing.assert_array_equal(np.concatenate(found), wanted)


def test_batches_are_asked_for_before_vectors_are_read() -> None:
    """Three are begun before the first is handed on, and never more."""
    asked: list[int] = []

    def batches() -> Iterator[Pixels]:
        for number in range(6):
            asked.append(number)
            yield np.full((1, 1, 1, 3), number, dtype=np.uint8)

    found = []
    for vectors in streaming.stream("cpu", batches(), lambda batch: batch.float().sum((1, 2, 3))):
        found.append(float(vectors[0]))
        assert len(asked) <= len(found) + 3
    assert len(asked) == 6
    assert found == [0, 3, 6, 9, 12, 15]
