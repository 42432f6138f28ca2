"""Compare signals with the job's bounds. All failing rules are recorded; the first in the job's order is the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.signals import origins
from tamis.pipeline.steps.rules.bounds import Mask, failures
from tamis.pipeline.steps.rules.config import BELOW_MINIMUM, NOT_ALLOWED, Bound
from tamis.pipeline.steps.rules.config import Rules as Config
from tamis.pipeline.steps.shared.config import NO_VALUE
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tables.columns import scatter
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job


@dataclass(frozen=True)
class Bounded:
    """Arguments of ``decide``."""

    bounds: Sequence[
        tuple[str, Mapping[str, Any]]
    ]  # in the job's order: the first that fails is the reason


class Rules(Step):
    """One phase: a verdict over each part."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name = config, config.name
        self.steps = job.steps

    def needs(self) -> Sequence[Product]:
        """The signals of all bounds."""
        return [product.signal(name) for name in self.config.bounds]

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Check that no text has a bound of numbers.

        Raises:
            JobError: one has.
        """
        texts = origins.text_signals(self.steps, inputs)
        for name, bound in self.config.bounds.items():
            check_bound(self.name, name, bound, name in texts)

    def phases(self, context: Context) -> Iterator[Phase[Bounded]]:
        """Read each part's signals, decide."""
        bounds = [
            (name, bound.model_dump(by_alias=True)) for name, bound in self.config.bounds.items()
        ]
        inputs: dict[str, ByPart | Sequence[ByPart]] = {"drops": context.drops()}
        for name in self.config.bounds:
            signal = context.signal(name)
            inputs[product.signal(name).role] = signal
        yield Phase(VERDICT, decide, EachPart(context.parts, inputs, Bounded(bounds)))


def decide(io: TaskIo[Bounded]) -> Iterator[pa.Table]:
    """The rows of one part that fail a bound."""
    rows = io.living_rows()
    failing: dict[str, tuple[pa.Array, Mapping[str, Mask]]] = {}
    bounds = dict(io.args.bounds)
    for name, raw in bounds.items():
        values = scatter(io.read(product.signal(name).role, ["row", name]), io.rows)[name].take(
            pa.array(rows)
        )
        bound = Bound.model_validate(raw)
        check_bound(io.step, name, bound, pa.types.is_string(values.type))
        failing[name] = (values, failures(values, bound))
    yield verdict(io, rows, failing, bounds)


def check_bound(step: str, name: str, bound: Bound, text: bool) -> None:
    """Check a bound against its signal's type; audits, which lack the inputs, do so by the stored column.

    Raises:
        JobError: ``text`` is bounded by numbers.
    """
    if text and bound.one_of is None:
        raise JobError(
            f"{step}: {name} is text, which `min` and `max` cannot bound: list what may pass with `in`"
        )


def verdict(
    io: TaskIo[Bounded],
    rows: npt.NDArray[Any],
    failing: Mapping[str, tuple[pa.Array, Mapping[str, Mask]]],
    bounds: Mapping[str, Mapping[str, Any]],
) -> pa.Table:
    """The DROPS table: for each failing row its first failing rule, with value and bound, and all that failed."""
    count = len(rows)
    reason, rule = np.full(count, "", object), np.full(count, "", object)
    value, bound = np.full(count, np.nan), np.full(count, np.nan)
    message: list[str | None] = [None] * count
    failed: defaultdict[int, list[str]] = defaultdict(list)
    for name, (values, reasons) in failing.items():
        for why, mask in reasons.items():
            for i in np.flatnonzero(mask):
                failed[int(i)].append(name)
                if not rule[i]:
                    reason[i], rule[i] = why, name
                    value[i], bound[i], message[i] = _shown(
                        values[int(i)].as_py(), why, bounds[name]
                    )
    out = np.flatnonzero(rule != "")
    return drops(
        io,
        rows[out],
        reason[out],
        rule=list(rule[out]),
        value=pa.array(value[out], from_pandas=True),
        bound=pa.array(bound[out], from_pandas=True),
        failed=[failed[int(i)] for i in out],
        message=[message[i] for i in out],
    )


def _shown(value: Any, why: str, bound: Mapping[str, Any]) -> tuple[float, float, str | None]:
    if why == NO_VALUE:
        return np.nan, np.nan, None
    if why == NOT_ALLOWED:
        return np.nan, np.nan, f"{value!r} is not in {list(bound['in'])}"
    return float(value), float(bound["min"] if why == BELOW_MINIMUM else bound["max"]), None
