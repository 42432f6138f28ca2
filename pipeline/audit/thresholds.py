"""Another threshold, from what the ledger holds: how many would pass that step, before any later step decides anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.algorithms.density import InfeasibleBudget, quotas
from pipeline.audit import distributions
from pipeline.audit.finished import FinishedRun
from schemas.errors import InputError
from schemas.steps import Density, Rules, SemanticDuplicates

if TYPE_CHECKING:
    import duckdb

PASSING = """
    SELECT count(*) AS reaching, count_if(step IS DISTINCT FROM $step) AS passing_now,
           count_if(passes) AS passing, count_if(kept) AS kept_now, count_if(kept AND passes) AS kept
    FROM (SELECT kept, step, {passes} AS passes FROM ledger
          WHERE kept OR list_contains($steps, step))
"""
"""Of the samples that reach a step. A rule's other bounds stand as they are: ``failed`` names all that failed."""

BOUND = """
    {others} AND CASE WHEN {value} IS NULL OR isnan({value}::DOUBLE) THEN $missing
        ELSE {value}::DOUBLE >= $low AND {value}::DOUBLE <= $high END
"""


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
        """Each threshold: its step, what it bounds, where it stands, and how the command line sets it."""
        found = []
        for signal, limits in distributions.limits(self.run).items():
            for limit in limits:
                semantic = signal == "semantic_similarity" and limit.step in self._semantic
                path = (
                    f"{limit.step}.epsilon" if semantic else f"{limit.step}.{signal}.{limit.side}"
                )
                told = {"signal": signal, **limit._asdict(), "path": path}
                found.append(told | {"epsilon": semantic})
        order = list(self._later)
        found.sort(key=lambda told: order.index(told["step"]))
        density = self._density
        if density is not None and self._concepts is not None:
            whole = self._whole(density)
            share = density.keep / whole if isinstance(density.keep, int) else density.keep
            path = f"{density.name}.keep"
            found.append({"step": density.name, "signal": None, "value": share, "path": path})
        return found

    @property
    def _semantic(self) -> set[str]:
        return {step.name for step in self.run.steps if isinstance(step, SemanticDuplicates)}

    @property
    def _density(self) -> Density | None:
        found = [step for step in self.run.steps if isinstance(step, Density)]
        return found[-1] if found else None

    @cached_property
    def _concepts(self) -> pa.Table | None:
        density = self._density
        if density is None:
            return None
        return self.run.table(f"{density.name}/quotas/clusters.parquet")

    def _whole(self, density: Density) -> int:
        """What a share of ``keep`` is a share of."""
        if density.of == "input" or self._concepts is None:
            return self.run.manifest.rows_in
        return int(self._concepts["size"].to_numpy().sum())

    def moved(
        self, connection: duckdb.DuckDBPyConnection, step: str, signal: str, side: str, value: float
    ) -> dict[str, int]:
        """With one bound moved: samples that reach the step, pass it now, would pass it; kept now, still kept.

        Raises:
            InputError: the job has no such bound.
        """
        configs = [config for config in self.run.steps if config.name == step]
        config = configs[0] if configs else None
        quoted = '"' + signal.replace('"', '""') + '"'
        values: dict[str, Any] = {"step": step, "steps": self._later.get(step, [])}
        if isinstance(config, Rules) and signal in config.bounds and side in {"min", "max"}:
            bound = config.bounds[signal]
            low = -np.inf if bound.min is None else bound.min
            high = np.inf if bound.max is None else bound.max
            low, high = (value, high) if side == "min" else (low, value)
            missing = bound.missing == "keep"
            values |= {"low": float(low), "high": float(high), "missing": missing}
            others = "true"
            if len(config.bounds) > 1:
                others = "(step IS DISTINCT FROM $step OR failed = [$signal])"
                values["signal"] = signal
            passes = BOUND.format(others=others, value=quoted)
        elif isinstance(config, SemanticDuplicates) and signal == "semantic_similarity":
            values["high"] = value
            passes = f"coalesce({quoted}::DOUBLE <= $high, step IS DISTINCT FROM $step)"
        else:
            raise InputError(f"the job has no threshold {step}.{signal}.{side}")
        answer = connection.execute(PASSING.format(passes=passes), values)
        names = [column[0] for column in answer.description or ()]
        return dict(zip(names, answer.fetchall()[0], strict=True))

    def kept_with(self, keep: float) -> dict[str, int]:
        """With another budget: samples kept now and then, and how many concepts get more or fewer. Exact.

        Raises:
            InputError: the job has no density step, or its concepts cannot meet that budget.
        """
        density, table = self._density, self._concepts
        if density is None or table is None:
            raise InputError(
                "this run has no concepts with quotas, or its tables have been cleared"
            )
        if not 0 < keep <= 1:
            raise InputError(f"keep is {keep}: a share in (0, 1]")
        now = table["quota"].to_numpy()
        sizes = table["size"].to_numpy()
        total = density.model_copy(update={"keep": float(keep)}).budget(
            int(sizes.sum()), self.run.manifest.rows_in
        )
        complexity = table["complexity"].to_numpy()
        try:
            then = quotas(complexity, sizes, total, density.temperature, density.balance)
        except InfeasibleBudget as error:
            raise InputError(str(error)) from None
        return {
            "reaching": int(sizes.sum()),
            "kept_now": int(now.sum()),
            "kept": int(then.sum()),
            "concepts": len(now),
            "more": int((then > now).sum()),
            "fewer": int((then < now).sum()),
            "moved": int(np.abs(then - now).sum()),
        }
