"""Uids that stand more than once in the subset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tamis.pipeline.tables.columns import scatter
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import JobError


@dataclass(frozen=True)
class Times:
    """Arguments of ``repeated``."""

    signal: str


def repeated(io: TaskIo[Times]) -> Iterator[pa.Table]:
    """(row, uid) of one part's kept samples, each as often as its signal says.

    Raises:
        JobError: a sample has no whole number of at least 1.
    """
    kept, name = io.read("kept", ["row", "uid"]).combine_chunks(), io.args.signal
    column = scatter(io.read("times", ["row", name]), io.rows)[name].take(kept["row"])
    try:
        times = column.cast(pa.int64()).combine_chunks()
    except pa.ArrowInvalid:
        times = pa.nulls(len(column), pa.int64())
    numbers = times.fill_null(0).to_numpy()
    if (numbers < 1).any():
        uid = kept["uid"][int(np.argmax(numbers < 1))].as_py().hex()
        value = column[int(np.argmax(numbers < 1))].as_py()
        raise JobError(
            f"{io.step}: times: {name} of the kept sample {uid} is {value}, no whole number of at least 1: drop such "
            f"samples before, as `rules: {{{name}: {{min: 1}}}}` does"
        )
    yield kept.take(pa.array(np.repeat(np.arange(len(numbers)), numbers)))
