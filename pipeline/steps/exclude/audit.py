"""Answers of `exclude` about a finished run: how near a listed picture is."""

from __future__ import annotations

from tamis.pipeline.steps.exclude.config import Exclude as Config
from tamis.pipeline.steps.shared.audit import Finished, Mend, Row, StepAudit, mend


class Exclude(StepAudit[Config]):
    """Answers by the bits in the ledger. Who stands in a list does so whatever becomes of others."""

    mends_one = True

    def mends(self, run: Finished, row: Row) -> list[Mend]:
        """A radius below the bits of the nearest listed picture; nothing for what is equal to an entry."""
        del run
        bits = row["value"]
        return [mend(f"{self.name}.within", "<=", int(bits) - 1)] if bits else []
