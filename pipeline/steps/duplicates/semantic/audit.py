"""Answers of `semantic_duplicates` about a finished run, by the stored cosines and epsilon."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates as Config
from tamis.pipeline.steps.shared.audit import (
    Finished,
    Limit,
    Mend,
    Row,
    StepAudit,
    checked_epsilon,
    mend,
)

if TYPE_CHECKING:
    from tamis.pipeline.steps.shared.again import Again


class SemanticDuplicates(StepAudit[Config]):
    """Answers by the stored cosine, on which epsilon alone decides."""

    mends_one = True

    def mends(self, run: Finished, row: Row) -> list[Mend]:
        """A smaller epsilon, unless the embeddings are equal."""
        del run
        if row["value"] is None:
            return []
        epsilon = math.floor((1 - row["value"]) * 1e6) / 1e6  # six decimals, never more
        return [mend(f"{self.name}.epsilon", "<=", epsilon)] if epsilon > 0 else []

    def limits(self) -> list[Limit]:
        """The largest cosine that is kept."""
        epsilon = self.config.epsilon
        return [
            Limit(self.name, self.config.signal, "max", 1 - epsilon, "epsilon", "epsilon", epsilon)
        ]

    def passing(
        self, column: str, signal: str, side: str, value: float
    ) -> tuple[str, dict[str, Any]] | None:
        """The condition under another epsilon, which is ``value``.

        Raises:
            InputError: ``value`` is no epsilon.
        """
        del side
        if signal != self.config.signal:
            return None
        checked_epsilon(value)
        condition = f"coalesce({column}::DOUBLE <= $high, step IS DISTINCT FROM $step)"
        return condition, {"high": 1.0 - value}

    def decide_again(self, again: Again) -> Iterable[Counter[str]]:
        """Counts of dropped samples by reason, chunk by chunk."""
        from tamis.pipeline.steps.duplicates.semantic.again import decide

        return decide(again, self.config)
