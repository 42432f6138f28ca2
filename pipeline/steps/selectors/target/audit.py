"""Answers of `target` about a finished run, where a bound decides and not a budget: by the stored value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tamis.pipeline.steps.selectors.target.config import NEAREST
from tamis.pipeline.steps.selectors.target.config import Target as Config
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

if TYPE_CHECKING:
    import numpy as np


class Target(StepAudit[Config]):
    """With ``keep`` the fate of a sample depends on all others, and nothing is said."""

    mends_one = True

    def rules(self, row: Row) -> list[Checked]:
        """The bound with the sample's value."""
        value, least = row.get(self.name), self._least
        if least is None or value is None:
            return []
        passes = bool(value >= least)
        return [{"rule": self.name, "value": value, "min": self.config.least, "passes": passes}]

    def elsewhere(self, row: Row) -> tuple[str, str, str] | None:
        """The nearest target sample, where the target is a run."""
        from tamis.pipeline.steps.shared.vector_sets import kind_of

        message = row["message"] or ""
        if not message.startswith(NEAREST) or kind_of(self.config.path) != "run":
            return None
        return self.config.path, message.removeprefix(NEAREST), "nearest of the target"

    @property
    def _least(self) -> np.float32 | None:
        """The bound as it is compared: values have 32 bits."""
        import numpy as np

        with np.errstate(over="ignore"):  # beyond all cosines
            return None if self.config.least is None else np.float32(self.config.least)

    def mends(self, run: Finished, row: Row) -> list[Mend]:
        """The bound at the sample's value."""
        del run
        if self.config.least is None:
            return []
        return [mend(f"{self.name}.least", "<=", row[self.name])]

    def would_drop(self, run: Finished, row: Row, missing: set[str]) -> Verdict:
        """The verdict by the bound; open where a budget decides, or for a sample without embedding."""
        del run, missing
        rules = self.rules(row)
        if not rules:
            return Verdict(None)
        failed = [rule for rule in rules if not rule["passes"]]
        return Verdict(bool(failed), failed)

    def limits(self) -> list[Limit]:
        """The bound on the stored value."""
        least = self.config.least
        if least is None:
            return []
        return [Limit(self.name, self.name, "min", least, "least", "bound", least)]

    def passing(
        self, column: str, signal: str, side: str, value: float
    ) -> tuple[str, dict[str, Any]] | None:
        """The condition with another bound."""
        if self.config.least is None or (signal, side) != (self.name, "min"):
            return None
        from tamis.pipeline.tables.columns import rounded

        return f"coalesce({column} >= $least, false)", {"least": rounded(value)}
