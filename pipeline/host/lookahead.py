"""Work that begins before its result is needed: results in order, and a bounded number pending."""

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
    limit: int,
) -> Iterator[Result]:
    """Results of the items, in their order; at most ``limit`` items are begun and not yet yielded."""
    pending: deque[Promise] = deque()
    for item in items:
        if len(pending) == limit:
            yield result(pending.popleft())
        pending.append(begin(item))
    while pending:
        yield result(pending.popleft())
