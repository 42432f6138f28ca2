"""Verdicts: the rows of a part that a step drops, each with its reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import StateError
from tamis.schemas.tables import DROPS


def drops(io: TaskIo[Any], rows: npt.NDArray[Any], reason: Any, **columns: Any) -> pa.Table:
    """A verdict over one part: ``rows`` dropped for ``reason`` (one, or one a row); counts them by reason.

    ``columns`` are those of DROPS, arrays aligned with ``rows``; the others are null.

    Raises:
        StateError: a row is dropped twice by the same verdict.
    """
    order = np.argsort(rows, kind="stable")
    ordered = np.asarray(rows, dtype=np.uint32)[order]
    if len(ordered) > 1 and (ordered[1:] == ordered[:-1]).any():
        raise StateError(f"{io.path}: a row is dropped twice")
    reasons = (
        [str(reason)] * len(ordered) if isinstance(reason, str) else [str(reason[i]) for i in order]
    )
    for name in set(reasons):
        io.count(**{name: reasons.count(name)})
    arrays = []
    for field in DROPS:
        if field.name == "row":
            arrays.append(pa.array(ordered, field.type))
        elif field.name == "reason":
            arrays.append(pa.array(reasons, field.type))
        else:
            arrays.append(_column(columns.get(field.name), order, field.type))
    return pa.Table.from_arrays(arrays, schema=DROPS)


def _column(values: Any, order: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    if values is None:
        return pa.nulls(len(order), kind)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    array = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return array.cast(kind).take(pa.array(order))
