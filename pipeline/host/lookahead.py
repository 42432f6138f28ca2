"""Work that is begun before its result is asked for: in order, and no more of it at once than was said."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Promise = TypeVar("Promise")
Result = TypeVar("Result")


def in_order(
    begin: Callable[[Item], Promise],
    result: Callable[[Promise], Result],
    items: Iterable[Item],
    most: int,
) -> Iterator[Result]:
    """The result of every item, in their order; ``most`` are begun and not yet handed on at any time."""
    begun: deque[Promise] = deque()
    for item in items:
        if len(begun) == most:
            yield result(begun.popleft())
        begun.append(begin(item))
    while begun:
        yield result(begun.popleft())
