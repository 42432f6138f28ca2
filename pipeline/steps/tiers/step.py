"""Names for the ranges of a signal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.signals import origins
from tamis.pipeline.steps.tiers.config import Tiers as Config
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import EachPart, Phase
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job


@dataclass(frozen=True)
class Named:
    """Arguments of ``values``."""

    signal: str
    tier: str  # the name of the signal that is made
    cuts: Sequence[float]
    names: Sequence[str]


class Tiers(Step):
    """One phase, ``values``: the tier of every sample that has the signal."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.steps = config, config.name, job.steps

    def needs(self) -> Sequence[Product]:
        """The signal."""
        return [product.signal(self.config.signal)]

    def makes(self) -> Mapping[Product, str]:
        """The names, under the step's name."""
        return {product.signal(self.name): "values"}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """The signal is made of numbers.

        Raises:
            JobError: it is text.
        """
        if self.config.signal in origins.text_signals(self.steps, inputs):
            raise JobError(
                f"{self.name}: {self.config.signal} is text, which has no order to divide: name a signal of numbers"
            )

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        config = self.config
        signal = context.signal(config.signal)
        named = Named(config.signal, self.name, config.cuts, config.names)
        yield Phase("values", values, EachPart(context.parts, {"signal": signal}, named))


def values(io: TaskIo[Named]) -> Iterator[pa.Table]:
    """(row, tier) of one part; null where the signal has no value.

    A column of 32 bits is compared with cuts rounded to 32 bits, as by `rules`.
    """
    args = io.args
    table = io.read("signal", ["row", args.signal])
    column = table[args.signal].combine_chunks()
    cuts = np.asarray(args.cuts, np.float64)
    if column.type in (pa.float16(), pa.float32()):
        with np.errstate(over="ignore"):  # beyond all numbers of 32 bits
            cuts = cuts.astype(np.float32).astype(np.float64)
    numbers = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    tier = np.searchsorted(cuts, numbers, side="right")
    numbered = pa.array(tier, mask=np.isnan(numbers))
    yield pa.table(
        {"row": table["row"], args.tier: pa.array(args.names, pa.string()).take(numbered)}
    )
