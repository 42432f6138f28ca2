"""Answers of a step about a finished run; a step that has more to say has a class in the ``audit.py`` of its folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from tamis.pipeline.steps.shared.config import check_epsilon
from tamis.schemas.errors import InputError
from tamis.schemas.step import StepModel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tamis.pipeline.steps.shared.again import Again
    from tamis.pipeline.tasks.step import Context

Row = dict[str, Any]
"""A row of the ledger, by column."""

Checked = dict[str, Any]
"""A bound on a signal (``rule``, its limits), the sample's ``value``, and whether it ``passes``."""

Mend = dict[str, Any]
"""``setting`` as ``--set`` writes it, ``relation`` (<= or >=) and ``value``; for ``keep`` also ``samples``, and
``by_lot``: it holds with the same seed; and ``sufficient``, where a weaker value may do too."""

Config = TypeVar("Config", bound=StepModel)


class Finished(Protocol):
    """A finished run, as steps read it."""

    @property
    def root(self) -> str:
        """Its directory."""

    @property
    def rows_in(self) -> int:
        """All input samples."""

    @property
    def seed(self) -> int:
        """The job's."""

    @property
    def placing(self) -> list[str]:
        """The steps that give samples a place in a concept, in order."""

    def entered(self, step: str) -> int:
        """The samples that reached a step."""

    def quotas(self, step: str) -> pa.Table | None:
        """A row a cluster: its size, and what the step keeps of it; None where ``tables/`` has been cleared."""

    def edges_to_preferred(self, step: str, sid: int) -> pa.Table | None:
        """A sample's edges to those that are preferred to it; None where not all are stored."""

    def rows(self, sids: Sequence[int]) -> list[Row]:
        """The ledger's rows of some samples, in their order."""


class Limit(NamedTuple):
    """A threshold of a step on a signal. ``side``: min or max; ``value``: where it lies among the signal's values."""

    step: str
    signal: str
    side: str
    value: float
    setting: str  # of the step: what moves it
    kind: str  # bound or epsilon
    stands: float  # the value of that setting


class Verdict(NamedTuple):
    """A decision at other settings. ``drops``: None where nothing stored tells; ``rules``: the bounds not passed."""

    drops: bool | None
    rules: list[Checked] = []  # noqa: RUF012 - nobody adds to it


def mend(setting: str, relation: str, value: Any, **more: Any) -> Mend:
    """A setting that would have let a sample pass."""
    return {"setting": setting, "relation": relation, "value": value, **more}


def checked_epsilon(value: float) -> None:
    """Refuse what is no epsilon.

    Raises:
        InputError: it is none.
    """
    try:
        check_epsilon(value)
    except ValueError as error:
        raise InputError(str(error)) from None


class StepAudit(Generic[Config]):
    """Questions of audits to a step of a run. Each answer here is that of a step of which nothing more is known."""

    mends_one: ClassVar[bool] = False
    """Whether ``mends`` leaves the fates of others as they are, so that ``would_drop`` of later steps can be told."""

    def __init__(self, config: Config) -> None:
        self.config, self.name = config, config.name

    def rules(self, row: Row) -> list[Checked]:
        """The step's bounds with the values in a ledger row."""
        del row
        return []

    def elsewhere(self, row: Row) -> tuple[str, str, str] | None:
        """The directory of another run, the uid there of a sample that decided about this one, and its role in words.

        ``row`` has the ledger's `message` and `partner_uid`. None where there is no such sample.
        """
        del row
        return None

    def mends(self, run: Finished, row: Row) -> list[Mend]:
        """The changes that let a dropped sample pass, all others left as they are; all are needed."""
        del run, row
        return []

    def would_drop(self, run: Finished, row: Row, missing: set[str]) -> Verdict:
        """The verdict on a sample that an earlier step dropped, all others as they are.

        ``missing``: signals that were not computed for it.
        """
        del run, row, missing
        return Verdict(None)

    def limits(self) -> list[Limit]:
        """Thresholds on signals of the ledger."""
        return []

    def passing(
        self, column: str, signal: str, side: str, value: float
    ) -> tuple[str, dict[str, Any]] | None:
        """A condition of DuckDB's, with its parameters, that a sample reaching the step passes with one limit moved.

        ``column`` is the signal's name in SQL, and `step`, `failed` and $step are known too. None if there is no such
        limit.
        """
        del column, signal, side, value
        return None

    def keep_range(self, concepts: pa.Table, rows_in: int) -> dict[str, Any] | None:
        """The setting ``keep`` (``value``, ``kind``) with its ``low`` and ``high`` ends; None if it cannot be moved.

        ``concepts`` is the step's table of quotas; asked of a step that ``measures`` its concepts.
        """
        del concepts, rows_in
        return None

    def quotas_with(
        self, concepts: pa.Table, rows_in: int, keep: float
    ) -> npt.NDArray[np.int64] | None:
        """Each concept's quota with another ``keep``; None if it cannot be moved.

        Raises:
            InputError: no quotas meet that budget.
        """
        del concepts, rows_in, keep
        return None

    def lacks(self, context: Context, before: Config) -> str:
        """The reason why a run with the settings ``before`` has not stored enough to decide these; "" if it has."""
        del context, before
        return ""

    def decide_again(self, again: Again) -> Iterable[Counter[str]]:
        """Drop in memory what the step drops with these settings: counts by reason. For a step with ``cutting``."""
        del again
        raise TypeError(
            f"{self.config.kind}: has `cutting` settings: its audit.py needs `decide_again`"
        )
