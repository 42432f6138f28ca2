"""Answers of `rules` about a finished run: each bound with the sample's value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tamis.pipeline.steps.rules.bounds import failure, passing_sql
from tamis.pipeline.steps.rules.config import BELOW_MINIMUM, NOT_ALLOWED
from tamis.pipeline.steps.rules.config import Rules as Config
from tamis.pipeline.steps.shared.audit import (
    Checked,
    Finished,
    Limit,
    Mend,
    Row,
    StepAudit,
    Verdict,
    mend,
)
from tamis.pipeline.steps.shared.config import NO_VALUE

if TYPE_CHECKING:
    from tamis.pipeline.steps.shared.again import Again


class Rules(StepAudit[Config]):
    """Answers by the signals in the ledger, from which all decisions of bounds follow."""

    mends_one = True

    def rules(self, row: Row) -> list[Checked]:
        """Each bound with the sample's value, in the job's order."""
        return [self._checked(name, row.get(name)) for name in self.config.bounds]

    def _checked(self, signal: str, value: Any) -> Checked:
        bound = self.config.bounds[signal]
        limits = bound.model_dump(by_alias=True, exclude_none=True)
        return {"rule": signal, "value": value, **limits, "passes": failure(value, bound) is None}

    def mends(self, run: Finished, row: Row) -> list[Mend]:
        """Every bound that the sample fails, moved to its value."""
        del run
        return [
            self._mend(rule["rule"], rule["value"])
            for rule in self.rules(row)
            if not rule["passes"]
        ]

    def _mend(self, signal: str, value: Any) -> Mend:
        name, reason = f"{self.name}.{signal}", failure(value, self.config.bounds[signal])
        if reason == NO_VALUE:
            return mend(f"{name}.missing", "=", "keep")
        if reason == NOT_ALLOWED:
            return mend(f"{name}.in", "with", value)
        if reason == BELOW_MINIMUM:
            return mend(f"{name}.min", "<=", value)
        return mend(f"{name}.max", ">=", value)

    def would_drop(self, run: Finished, row: Row, missing: set[str]) -> Verdict:
        """The verdict; it is open unless a stored signal fails, or all signals are stored."""
        del run
        stored = [rule for rule in self.rules(row) if rule["rule"] not in missing]
        failed = [rule for rule in stored if not rule["passes"]]
        if failed:
            return Verdict(True, failed)
        return Verdict(False if len(stored) == len(self.config.bounds) else None)

    def limits(self) -> list[Limit]:
        """The lower and upper ends of every bound."""
        return [
            Limit(self.name, signal, side, value, f"{signal}.{side}", "bound", value)
            for signal, bound in self.config.bounds.items()
            for side in ("min", "max")
            if (value := getattr(bound, side)) is not None
        ]

    def passing(
        self, column: str, signal: str, side: str, value: float
    ) -> tuple[str, dict[str, Any]] | None:
        """The condition with one end moved. Of a sample that failed other bounds too, ``failed`` names these."""
        bounds = self.config.bounds
        bound = bounds.get(signal)
        if bound is None or bound.one_of is not None or side not in {"min", "max"}:
            return None
        condition, limits = passing_sql(column, bound.model_copy(update={side: value}))
        values: dict[str, Any] = {**limits}
        if len(bounds) > 1:
            condition = f"(step IS DISTINCT FROM $step OR failed = [$signal]) AND {condition}"
            values["signal"] = signal
        return condition, values

    def decide_again(self, again: Again) -> Iterable[Counter[str]]:
        """Counts of dropped samples by reason, chunk by chunk."""
        from tamis.pipeline.steps.rules.again import decide

        return decide(again, self.config)
