"""Values of a signal of one's own, and the line that says which sample its function fails on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tamis.pipeline.plugins import sources
from tamis.schemas.errors import PlugInError

Named = Callable[[int], str]
"""A sample's name for a message, by its position."""


@dataclass(frozen=True)
class Plugged:
    """A loaded function with its name, its file, and the signal's type."""

    name: str
    file: str
    function: Callable[..., Any]
    type: pa.DataType

    def of_rows(self, rows: Iterable[Sequence[Any]], named: Named) -> pa.Array:
        """Values of samples, each the function's of its arguments; null where one of them is null.

        Raises:
            PlugInError: it raises, or returns what is not of its type.
        """
        values = [self.of_one(row, number, named) for number, row in enumerate(rows)]
        return pa.array(values, self.type)

    def of_one(self, arguments: Sequence[Any], number: int, named: Named) -> Any:
        """The value of the sample at position ``number``."""
        if any(argument is None for argument in arguments):
            return None
        try:
            value = self.function(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever somebody else's function raises
            raise self._failed(error, named(number)) from None
        try:
            made = pa.scalar(value, self.type).as_py()
            if pa.types.is_integer(self.type) and made is not None and made != value:
                raise ValueError("Arrow has cut what is behind the point")
            return made
        except Exception:  # noqa: BLE001 - whatever the value's own methods raise
            raise PlugInError(
                f"{self.name} of {self.file}: gives {sources.shown(value)[:80]!r} for {named(number)}: by its "
                f"annotation it is {self.type}"
            ) from None

    def of_columns(self, columns: Sequence[pa.Array], rows: int, named: Named) -> pa.Array:
        """Values of ``rows`` samples, the function's of their columns.

        Raises:
            PlugInError: it raises, or returns another number of values or another type.
        """
        try:
            values = self.function(*columns)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever somebody else's function raises
            raise self._failed(error, self._first_failing(columns, rows, named)) from None
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if not isinstance(values, pa.Array):
            raise PlugInError(
                f"{self.name} of {self.file}: gives a {type(values).__name__}: it has to give an Arrow array"
            )
        if len(values) != rows:
            raise PlugInError(
                f"{self.name} of {self.file}: gives {len(values):,} values for {rows:,} samples: it has to give "
                "one for each, in their order"
            )
        try:
            values.validate(full=True)  # it may have been made of any bytes
            return values.cast(self.type)
        except pa.ArrowException as error:
            raise PlugInError(
                f"{self.name} of {self.file}: gives {values.type}, by its annotation it is {self.type}: "
                f"{' '.join(str(error).split())[:120]}"
            ) from None

    def _first_failing(self, columns: Sequence[pa.Array], rows: int, named: Named) -> str:
        """The first sample on which the function fails alone."""
        for number in range(rows):
            try:
                self.function(*(column.slice(number, 1) for column in columns))
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001 - as above
                return named(number)
        return f"{rows:,} samples together from {named(0)} on, on none of them alone"

    def _failed(self, error: BaseException, sample: str) -> PlugInError:
        where = sources.place(error, self.file)
        return PlugInError(f"{self.name} of {where}: fails on {sample}: {sources.said(error)}")
