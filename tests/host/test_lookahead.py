"""What is begun ahead comes in order, and no more of it at once than was said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tamis.pipeline.host.lookahead import in_order


@pytest.mark.parametrize("most", [1, 6, 100])
def test_it_comes_in_order_and_is_bounded(most: int) -> None:
    drawn = []

    def items() -> Iterator[int]:
        for number in range(40):
            drawn.append(number)
            yield number

    def work(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number

    with ThreadPoolExecutor(4) as pool:
        for place, made in enumerate(
            in_order(lambda item: pool.submit(work, item), Future.result, items(), most)
        ):
            assert made == place
            assert len(drawn) <= place + most + 1
    assert len(drawn) == 40


def test_an_error_is_raised_where_the_result_would_have_come() -> None:
    with ThreadPoolExecutor(2) as pool:
        made = in_order(lambda item: pool.submit(int, item), Future.result, ["1", "bad", "3"], 2)
        assert next(made) == 1
        with pytest.raises(ValueError, match="bad"):
            next(made)
