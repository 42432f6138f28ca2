"""Pictures decoded by threads beside a GPU come in order, and no more of them than were asked for wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipeline.steps.embed import _ahead, _decoders


def test_they_come_in_order_and_are_bounded() -> None:
    drawn = []

    def items() -> Iterator[bytes]:
        for number in range(40):
            drawn.append(number)
            yield bytes([number])

    def work(data: bytes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        time.sleep(0.001 * (data[0] % 3))
        return np.array([data[0]], dtype=np.float32)

    with ThreadPoolExecutor(4) as pool:
        for place, made in enumerate(_ahead(pool, work, items(), most=6)):
            assert made[0] == place
            assert len(drawn) <= place + 7
    assert len(drawn) == 40


def test_an_error_is_raised_where_the_picture_would_have_come() -> None:
    def work(data: bytes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        if data == b"bad":
            raise ValueError("damaged")
        return np.zeros(1, dtype=np.float32)

    with ThreadPoolExecutor(2) as pool:
        made = _ahead(pool, work, iter([b"good", b"bad", b"good"]), most=2)
        next(made)
        with pytest.raises(ValueError, match="damaged"):
            next(made)


def test_on_the_cpu_there_are_no_threads() -> None:
    with _decoders("cpu") as none:
        assert none is None
    with _decoders("cuda") as pool:
        assert pool is not None
