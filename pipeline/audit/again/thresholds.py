"""Effect of another threshold on its own step, counted in the ledger; later steps do not decide again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.audit.reading import distributions
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.sql import identifier
from tamis.schemas.errors import InputError

if TYPE_CHECKING:
    import duckdb

PASSING = """
    SELECT count(*) AS reaching, count_if(step IS DISTINCT FROM $step) AS passing_now,
           count_if(passes) AS passing, count_if(kept) AS kept_now, count_if(kept AND passes) AS kept,
           count_if(passes AND step IS NOT DISTINCT FROM $step) AS falls_in,
           count_if(NOT passes AND step IS DISTINCT FROM $step) AS falls_out
    FROM (SELECT kept, step, {passes} AS passes FROM ledger
          WHERE kept OR list_contains($steps, step))
"""
"""Counts of the samples that reach a step."""

Way = Literal["in", "out"]
"""Of samples that change sides: let in that the step dropped, or dropped that it let pass."""


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
        """Step -> itself and the later steps: a sample that one of them dropped has reached the step."""
        names = list(self.run.audits)
        return {name: names[at:] for at, name in enumerate(names)}

    def listed(self) -> list[dict[str, Any]]:
        """Each threshold: its step, what it bounds, where it stands, and how the command line sets it.

        ``kind``: bound, epsilon, or of ``keep`` share or count, these with the ``low`` and ``high`` that can be met.
        ``last``: no later step decides. ``flips``: the samples that change sides can be shown. ``scoring``: the later
        steps that score only what reaches them.
        """
        thresholds: list[dict[str, Any]] = [
            {
                "step": limit.step,
                "path": f"{limit.step}.{limit.setting}",
                "signal": limit.signal,
                "side": limit.side,
                "value": limit.stands,
                "kind": limit.kind,
            }
            for limits in distributions.limits(self.run).values()
            for limit in limits
        ]
        for name, concepts in self._concepts.items():
            keep = self.run.audits[name].keep_range(concepts, self.run.rows_in)
            if keep is not None:
                thresholds.append({"step": name, "path": f"{name}.keep", "signal": None, **keep})
        order = list(self._later)
        thresholds.sort(key=lambda threshold: order.index(threshold["step"]))
        return [
            {
                **threshold,
                "last": self._is_last(threshold["step"]),
                "scoring": self._scoring(threshold["step"]),
                "flips": threshold["signal"] is not None or threshold["step"] in self.placing[-1:],
            }
            for threshold in thresholds
        ]

    def _is_last(self, step: str) -> bool:
        """Tell whether no later step decides."""
        return step == self.run.manifest.steps[-1].step

    def _scoring(self, step: str) -> list[str]:
        """The later steps that score samples, and have no scores of what this step dropped."""
        later = self._later[step][1:]
        return [name for name in later if self.run.audits[name].config.scores]

    @cached_property
    def _concepts(self) -> dict[str, pa.Table]:
        """Step that measures its concepts -> their table, unless it has been cleared."""
        measuring = [step.name for step in self.run.steps if step.measures]
        tables = {name: self.run.quotas(name) for name in measuring}
        return {name: table for name, table in tables.items() if table is not None}

    def moved(
        self, connection: duckdb.DuckDBPyConnection, step: str, signal: str, side: str, value: float
    ) -> dict[str, int]:
        """With one bound moved: samples that reach the step, pass it now, would pass it; kept now, still kept; that it
        lets in, and drops; and ``unscored``: let in, without what later steps score.

        ``value`` is the bound; of semantic duplicates it is epsilon.

        Raises:
            InputError: the job has no such bound, or epsilon is none.
        """
        passes, values = self._passing(step, signal, side, value)
        answer = connection.execute(
            PASSING.format(passes=passes), {"step": step, "steps": self._later[step], **values}
        )
        names = [column[0] for column in answer.description or ()]
        counts = dict(zip(names, answer.fetchall()[0], strict=True))
        return {**counts, "unscored": counts["falls_in"] if self._scoring(step) else 0}

    def _passing(
        self, step: str, signal: str, side: str, value: float
    ) -> tuple[str, dict[str, Any]]:
        quoted = identifier(signal)
        audit = self.run.audits.get(step)
        condition = audit.passing(quoted, signal, side, value) if audit is not None else None
        if condition is None:
            raise InputError(f"the job has no threshold {step}.{signal}.{side}")
        return condition

    def flipping(
        self, way: Way, step: str, signal: str, side: str, value: float
    ) -> tuple[str, dict[str, Any]]:
        """A condition on the ledger, with its parameters: the samples that the moved threshold lets in, or drops.

        Without a ``signal`` the step's ``keep`` is moved, by the ranks that the ledger has of the last step with ranks.

        Raises:
            InputError: the job has no such threshold, or the ledger has no ranks of the step.
        """
        if signal:
            passes, values = self._passing(step, signal, side, value)
        else:
            if not self.placing or step != self.placing[-1]:
                raise InputError(f"the ledger has no ranks of the step `{step}`")
            passes = "coalesce(rank <= list_extract($quotas, cluster + 1), true)"
            values = {"quotas": self._quotas(step, value)[1].tolist()}
        values = {**values, "step": step}
        if way == "in":
            return f"(step IS NOT DISTINCT FROM $step AND ({passes}))", values
        # A parameter must be used: $step by all conditions, for some name it.
        reached = "(kept OR list_contains($later, step)) AND step IS DISTINCT FROM $step"
        return f"({reached} AND NOT ({passes}))", {**values, "later": self._later[step][1:]}

    def kept_with(self, step: str, keep: float) -> dict[str, int]:
        """With another budget: samples that pass now and then, and how many concepts get more or fewer. Exact.

        ``keep`` is a share where the job says a share, and a count where it says a count.

        Raises:
            InputError: the job has no such step, or its concepts cannot meet that budget.
        """
        table, then = self._quotas(step, keep)
        now, sizes = table["quota"].to_numpy(), table["size"].to_numpy()
        more = np.maximum(then - now, 0)
        return {
            "reaching": int(sizes.sum()),
            "kept_now": int(now.sum()),
            "kept": int(then.sum()),
            "concepts": len(now),
            "more": int((more > 0).sum()),
            "fewer": int((then < now).sum()),
            "moved": int(np.abs(then - now).sum()),
            "falls_in": int(more.sum()),
            "falls_out": int(np.maximum(now - then, 0).sum()),
            "unscored": int(more.sum()) if self._scoring(step) else 0,
        }

    def _quotas(self, step: str, keep: float) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """The step's concepts, and the quota of each with another budget."""
        table = self._concepts.get(step)
        then = (
            self.run.audits[step].quotas_with(table, self.run.rows_in, keep)
            if table is not None
            else None
        )
        if table is None or then is None:
            raise InputError(
                f"this run has no concepts with quotas of a step `{step}`, or its tables have been cleared"
            )
        return table, then
