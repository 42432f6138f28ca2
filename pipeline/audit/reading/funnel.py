"""The funnel: samples that entered and left each step, by reason; and counts by input file and by concept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.manifest import StepCount
from tamis.schemas.nearest import nearest
from tamis.schemas.step import StepModel

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Funnel:
    """Counts of a run: ``rows_in = kept + dropped``; what one step kept enters the next."""

    rows_in: int
    kept: int
    steps: tuple[StepCount, ...]

    @property
    def dropped(self) -> int:
        """Samples dropped, by all steps together."""
        return sum(sum(step.dropped.values()) for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """The counts as plain values."""
        return {
            "rows_in": self.rows_in,
            "kept": self.kept,
            "dropped": self.dropped,
            "steps": [step.model_dump() for step in self.steps],
        }


def funnel(run: FinishedRun) -> Funnel:
    """The manifest's counts.

    Raises:
        StateError: they do not add up.
    """
    counts = Funnel(run.manifest.rows_in, run.manifest.kept, tuple(run.manifest.steps))
    alive = counts.rows_in
    for step in counts.steps:
        if step.entered != alive or step.kept != alive - sum(step.dropped.values()):
            raise StateError(f"{run.root}: the account does not balance at `{step.step}`")
        alive = step.kept
    if alive != counts.kept:
        raise StateError(
            f"{run.root}: the account does not balance: {alive} left, {counts.kept} kept"
        )
    return counts


BY_REASON = """
    SELECT step, reason, rule, CASE WHEN min(bound) = max(bound) THEN min(bound) END AS bound, count(*) AS samples
    FROM ledger WHERE NOT kept GROUP BY step, reason, rule ORDER BY samples DESC, step, reason, rule
"""
"""Counts by step, reason and rule, with the bound where it is one for all; the most frequent first."""

BY_SOURCE = """
    SELECT source, count(*) AS samples, count_if(kept) AS kept, {reasons}
    FROM ledger GROUP BY source ORDER BY source
"""

BY_CLUSTER = """
    SELECT cluster, count(*) AS samples, count(rank) AS reached, {measures}, count_if(kept) AS kept
    FROM ledger {joined} WHERE cluster IS NOT NULL AND {placed} GROUP BY cluster ORDER BY {order} cluster
"""


class Loss(NamedTuple):
    """Samples that a step dropped for one reason and rule. Of several rules or bounds there is none."""

    step: str
    reason: str
    rule: str | None
    bound: float | None
    samples: int


def losses(run: FinishedRun) -> list[Loss]:
    """The losses of a run as tables have them, the largest first: of a reason whose words name no rule there is one."""
    found: dict[tuple[str, str, str | None], list[Loss]] = {}
    for loss in losses_by_rule(run):
        rule = loss.rule if names_rule(run, loss) else None
        found.setdefault((loss.step, loss.reason, rule), []).append(loss)
    merged = [_merged(same) for same in found.values()]
    return sorted(merged, key=lambda loss: -loss.samples)


def names_rule(run: FinishedRun, loss: Loss) -> bool:
    """Whether the words for a loss name its rule. Those of `coverage` do not name the stratum."""
    return "{rule}" in run.phrase(loss.step, loss.reason)


def _merged(same: Sequence[Loss]) -> Loss:
    first = same[0]
    rules, bounds = {loss.rule for loss in same}, {loss.bound for loss in same}
    return first._replace(
        rule=first.rule if len(rules) == 1 else None,
        bound=first.bound if len(bounds) == 1 else None,
        samples=sum(loss.samples for loss in same),
    )


def losses_by_rule(run: FinishedRun) -> list[Loss]:
    """All losses of a run, the largest first: the manifest's, or of an earlier version's run those of its ledger."""
    told = run.manifest.losses
    if told is not None:
        return [Loss(one.step, one.reason, one.rule, one.bound, one.samples) for one in told]
    with sql.connect(run, tables=False) as connection:
        _, rows = sql.ask(connection, BY_REASON)
    return [Loss(*row) for row in rows]


def words_for(run: FinishedRun, loss: Loss) -> str:
    """A loss as tables have it: `words < 2`, `same_image`."""
    bound = "" if loss.bound is None else number(loss.bound)
    phrase = run.phrase(loss.step, loss.reason)
    return phrase.format(reason=loss.reason, rule=loss.rule, bound=bound)


def by_source_query(run: FinishedRun, found: Sequence[Loss]) -> str:
    """SQL over the views of ``sql.connect``: a row for each input file: its samples, those kept, and each loss."""
    words = [words_for(run, loss) for loss in found]
    columns = []
    for loss, name in zip(found, words, strict=True):
        shown = f"{loss.step}: {name}" if words.count(name) > 1 else name
        chosen = f"step = {sql.literal(loss.step)} AND reason = {sql.literal(loss.reason)}"
        if names_rule(run, loss):
            named = "IS NULL" if loss.rule is None else f"= {sql.literal(loss.rule)}"
            chosen += f" AND rule {named}"
        columns.append(f"count_if({chosen}) AS {sql.identifier(shown)}")
    return BY_SOURCE.format(reasons=", ".join(columns) or "0 AS dropped")


def by_cluster_query(run: FinishedRun) -> str:
    """SQL over the same views: a row for each concept of the last step that makes any, the most complex first.

    Complexities come from ``tables/``; where it has been cleared the query reads the ledger alone.
    """
    last = [step for step in run.steps if step.name in run.placing[-1:]]
    measured = last and "complexity" in last[0].measures
    if measured and _is_there(run, paths.folder(last[0].name, "quotas")):
        return BY_CLUSTER.format(
            measures="any_value(clusters.complexity) AS complexity, any_value(clusters.quota) AS quota",
            joined=f'LEFT JOIN "{last[0].name}"."quotas" AS clusters USING (cluster)',
            placed=run.placed,
            order="any_value(clusters.complexity) DESC,",
        )
    measures = "any_value(quota) AS quota"
    return BY_CLUSTER.format(measures=measures, joined="", placed=run.placed, order="")


def _is_there(run: FinishedRun, path: str) -> bool:
    return storage.exists(storage.join(run.root, path))


SAMPLED = "SELECT sid FROM ledger WHERE {chosen} ORDER BY uid, sid"

SAMPLE = """
    SELECT uid, source, key, step, reason, rule, value, bound, partner_uid, text
    FROM ledger WHERE sid IN ({sids}) ORDER BY uid, sid
"""


def sample(
    run: FinishedRun, connection: duckdb.DuckDBPyConnection, name: str, count: int
) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of ``count`` samples that a step dropped, or that have a reason, or were ``kept``.

    They are the samples with the smallest uids, which are hashes: a random sample, and the same every time. The first
    query reads no captions, the second those of the chosen samples alone.

    Raises:
        JobError: this run has no such reason or step.
    """
    chosen, values = _chosen(run, name)
    query = f"{SAMPLED.format(chosen=chosen)} LIMIT {count}"
    _, chosen_rows = sql.ask(connection, query, values)
    sids = ", ".join(str(sid) for (sid,) in chosen_rows) or "NULL"
    return sql.ask(connection, SAMPLE.format(sids=sids))


def _chosen(run: FinishedRun, name: str) -> tuple[str, list[object]]:
    if name == "kept":
        return "kept", []
    steps = [step.step for step in run.manifest.steps if step.dropped]
    reasons = sorted({reason for step in run.manifest.steps for reason in step.dropped})
    if name not in {*steps, *reasons}:
        raise JobError(
            f"--sample {name}: nothing was dropped for it{nearest(name, [*reasons, *steps, 'kept'])}"
        )
    return "reason = ?" if name in reasons else "step = ?", [name]


def outcomes(steps: Sequence[StepModel], totals: Funnel) -> Iterator[str]:
    """What the steps themselves say of how many samples they dropped."""
    counts = {step.step: step for step in totals.steps}
    for step in steps:
        if step.name in counts:
            counted = counts[step.name]
            yield from step.outcome(counted.entered, sum(counted.dropped.values()))
