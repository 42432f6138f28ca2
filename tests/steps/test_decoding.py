"""Pictures become the same batches wherever they are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from pipeline import encoders
from pipeline.formats.images import to_rgb
from pipeline.phases import Ahead, Task, TaskIo
from pipeline.steps import decoding
from tests.running import picture

SIZE = 4


def by_itself(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """As decoding tasks do it: nothing but the function and an item reach them."""
    return iter([function(item) for item in items])


@pytest.mark.parametrize(("device", "ahead"), [("cpu", map), ("cuda", map), ("cuda", by_itself)])
@pytest.mark.parametrize("count", [0, 3, 4, 11])
def test_batches_are_the_pictures_in_order(device: str, ahead: Ahead, count: int) -> None:
    preprocessing = encoders.describe("demo").preprocessing
    assert preprocessing is not None
    pictures = [picture(number) for number in range(count)]
    task = Task("t", args={"batch_size": SIZE, "device": device}, places={"max_pixels": 10**6})
    io = TaskIo("", task, "")
    io.ahead = ahead
    made = list(decoding.batches(io, iter(pictures), preprocessing))
    assert [len(batch) for batch in made] == [
        min(SIZE, count - start) for start in range(0, count, SIZE)
    ]
    wanted = [preprocessing(to_rgb(data)) for data in pictures]
    found = [one for batch in made for one in batch]
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
