"""What a process has used lately, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values by their keys: those that were used last, as many as fit. For one thread at a time.

    Args:
        most: the size that all together may have.
        size: of a value, such as its bytes; by default each counts as one.
    """

    def __init__(self, most: int, size: Callable[[Value], int] = lambda _: 1) -> None:
        self.most = most
        self._size = size
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._together = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Value | None:
        """The value of a key, which is then the one used last; None where none is kept."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key]

    def keep(self, key: Key, value: Value) -> None:
        """Keep a value in the place of an earlier one, and let go of those that were not used for longest."""
        if key in self._kept:
            self._together -= self._size(self._kept.pop(key))
        self._kept[key] = value
        self._together += self._size(value)
        while self._together > self.most:
            self._together -= self._size(self._kept.popitem(last=False)[1])

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
        self._together = 0
