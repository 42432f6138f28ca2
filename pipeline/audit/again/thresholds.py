"""Another threshold, from what the ledger holds: how many would pass that step, before any later step decides anew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.choosing.density import InfeasibleBudget, lower_bounds, quotas
from tamis.pipeline.audit.reading import distributions
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates
from tamis.pipeline.steps.embed.config import Embed
from tamis.pipeline.steps.rules.bounds import passing_sql
from tamis.pipeline.steps.rules.config import Rules
from tamis.pipeline.steps.selectors.config import budget, whole_of
from tamis.pipeline.steps.selectors.density.config import Density
from tamis.pipeline.steps.signals.config import Signals
from tamis.schemas.errors import InputError
from tamis.schemas.step import StepModel

if TYPE_CHECKING:
    import duckdb

PASSING = """
    SELECT count(*) AS reaching, count_if(step IS DISTINCT FROM $step) AS passing_now,
           count_if(passes) AS passing, count_if(kept) AS kept_now, count_if(kept AND passes) AS kept,
           count_if(passes AND step IS NOT DISTINCT FROM $step) AS let_in
    FROM (SELECT kept, step, {passes} AS passes FROM ledger
          WHERE kept OR list_contains($steps, step))
"""
"""Of the samples that reach a step. A rule's other bounds stand as they are: ``failed`` names all that failed."""

SHARES = 10**6
"""Steps of a share: its ends are rounded to them, inwards."""


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of a run that can be moved."""

    run: FinishedRun

    @property
    def placing(self) -> list[str]:
        """The steps that gave samples a place in a concept."""
        return self.run.placing

    @cached_property
    def _later(self) -> dict[str, list[str]]:
        """Step -> itself and the steps after it: who is dropped there has reached it."""
        names = [step.name for step in self.run.steps]
        return {name: names[at:] for at, name in enumerate(names)}

    def listed(self) -> list[dict[str, Any]]:
        """Each threshold: its step, what it bounds, where it stands, and how the command line sets it.

        ``kind``: bound, epsilon, or of ``keep`` share or count, these with the ``low`` and ``high`` that can be met.
        ``last``: no later step decides. ``scoring``: the later steps that score only what reaches them.
        """
        found: list[dict[str, Any]] = []
        for signal, limits in distributions.limits(self.run).items():
            for limit in limits:
                told = {"signal": signal, "side": limit.side, "value": limit.value, "kind": "bound"}
                path = f"{limit.step}.{signal}.{limit.side}"
                config = self._configs[limit.step]
                if isinstance(config, SemanticDuplicates):
                    path = f"{limit.step}.epsilon"
                    told |= {"kind": "epsilon", "value": config.epsilon}
                found.append({"step": limit.step, "path": path, **told})
        found += [
            {"step": name, "path": f"{name}.keep", "signal": None, **self._keep(name)}
            for name in self._concepts
        ]
        order = list(self._later)
        found.sort(key=lambda told: order.index(told["step"]))
        return [
            {**told, "last": self._is_last(told["step"]), "scoring": self._scoring(told["step"])}
            for told in found
        ]

    @cached_property
    def _configs(self) -> dict[str, StepModel]:
        return {step.name: step for step in self.run.steps}

    def _is_last(self, step: str) -> bool:
        """Whether no later step decides."""
        return step == self.run.manifest.steps[-1].step

    def _scoring(self, step: str) -> list[str]:
        """The later steps that never scored whom this step dropped."""
        later = self._later[step][1:]
        return [name for name in later if isinstance(self._configs[name], Signals | Embed)]

    @cached_property
    def _concepts(self) -> dict[str, pa.Table]:
        """Density step -> its concepts, where they are still there."""
        densities = [step.name for step in self.run.steps if isinstance(step, Density)]
        tables = {name: self.run.quotas(name) for name in densities}
        return {name: table for name, table in tables.items() if table is not None}

    def _keep(self, step: str) -> dict[str, Any]:
        """Where ``keep`` stands, and between which ends it can be met."""
        density, sizes = self._configs[step], self._concepts[step]["size"].to_numpy()
        assert isinstance(density, Density)
        # A balance divides the budget itself: it can always be met.
        least = 1 if density.balance else max(1, int(lower_bounds(sizes, 0).sum()))
        most = int(sizes.sum())
        if isinstance(density.keep, int):
            return {"value": density.keep, "kind": "count", "low": least, "high": most}
        whole = whole_of(density.of, most, self.run.manifest.rows_in)
        low = math.ceil(least / whole * SHARES) / SHARES
        high = min(1.0, math.floor(most / whole * SHARES) / SHARES)
        low, high = min(low, density.keep), max(high, density.keep)
        return {"value": density.keep, "kind": "share", "low": low, "high": high}

    def moved(
        self, connection: duckdb.DuckDBPyConnection, step: str, signal: str, side: str, value: float
    ) -> dict[str, int]:
        """With one bound moved: samples that reach the step, pass it now, would pass it; kept now, still kept; and
        ``unscored``: let in, without what later steps score.

        ``value`` is the bound; of semantic duplicates it is epsilon.

        Raises:
            InputError: the job has no such bound, or epsilon is none.
        """
        config = self._configs.get(step)
        quoted = '"' + signal.replace('"', '""') + '"'
        values: dict[str, Any] = {"step": step, "steps": self._later.get(step, [])}
        bounds = config.bounds if isinstance(config, Rules) else {}
        bound = bounds.get(signal)
        if bound is not None and bound.one_of is None and side in {"min", "max"}:
            passes, limits = passing_sql(quoted, bound.model_copy(update={side: value}))
            values |= limits
            if len(bounds) > 1:
                passes = f"(step IS DISTINCT FROM $step OR failed = [$signal]) AND {passes}"
                values["signal"] = signal
        elif isinstance(config, SemanticDuplicates) and signal == "semantic_similarity":
            if not 0 < value <= 1:
                raise InputError(f"epsilon is {value}: it lies in (0, 1]")
            values["high"] = 1.0 - value
            passes = f"coalesce({quoted}::DOUBLE <= $high, step IS DISTINCT FROM $step)"
        else:
            raise InputError(f"the job has no threshold {step}.{signal}.{side}")
        answer = connection.execute(PASSING.format(passes=passes), values)
        names = [column[0] for column in answer.description or ()]
        found = dict(zip(names, answer.fetchall()[0], strict=True))
        let_in = found.pop("let_in")
        return {**found, "unscored": let_in if self._scoring(step) else 0}

    def kept_with(self, step: str, keep: float) -> dict[str, int]:
        """With another budget: samples that pass now and then, and how many concepts get more or fewer. Exact.

        ``keep`` is a share where the job says a share, and a count where it says a count.

        Raises:
            InputError: the job has no such density step, or its concepts cannot meet that budget.
        """
        density, table = self._configs.get(step), self._concepts.get(step)
        if not isinstance(density, Density) or table is None:
            raise InputError(
                f"this run has no concepts with quotas of a step `{step}`, or its tables have been cleared"
            )
        counted = isinstance(density.keep, int)
        if counted and not float(keep).is_integer():
            raise InputError(f"keep is {keep}: a count of samples, as in the job")
        if not counted and not 0 < keep <= 1:
            raise InputError(f"keep is {keep}: a share in (0, 1]")
        asked: int | float = int(keep) if counted else float(keep)
        now = table["quota"].to_numpy()
        sizes = table["size"].to_numpy()
        whole = whole_of(density.of, int(sizes.sum()), self.run.manifest.rows_in)
        total = budget(asked, whole)
        complexity = table["complexity"].to_numpy()
        try:
            then = quotas(complexity, sizes, total, density.temperature, density.balance)
        except InfeasibleBudget as error:
            raise InputError(str(error)) from None
        more = np.maximum(then - now, 0)
        return {
            "reaching": int(sizes.sum()),
            "kept_now": int(now.sum()),
            "kept": int(then.sum()),
            "concepts": len(now),
            "more": int((more > 0).sum()),
            "fewer": int((then < now).sum()),
            "moved": int(np.abs(then - now).sum()),
            "unscored": int(more.sum()) if self._scoring(step) else 0,
        }
