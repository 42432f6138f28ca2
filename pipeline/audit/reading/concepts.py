"""Concepts as they are shown: sizes and quotas, and the samples nearest to and farthest from the centroids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tamis.pipeline.audit.reading.concept_names import names
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tasks.product import Kind

if TYPE_CHECKING:
    import duckdb

SHOWN = 2000
"""Concepts in a plot, at most."""


class Concept(NamedTuple):
    """A cluster. ``samples`` were assigned to it, less those that an earlier clustering step dropped; ``size`` of them
    reached the step that chooses. ``fit_kept`` and ``fit_dropped``: the mean similarity of picture and caption of
    those of them that are kept, and of the others; None where there is no such signal, or no such sample.
    """

    cluster: int
    samples: int
    size: int
    kept: int
    quota: int | None
    fit_kept: float | None = None
    fit_dropped: float | None = None
    d_intra: float | None = None
    d_inter: float | None = None
    complexity: float | None = None
    name: str | None = None  # its most distinctive words

    @property
    def called(self) -> str:
        """Number and name."""
        return f"concept {self.cluster}{f' ({self.name})' if self.name else ''}"

    @property
    def share(self) -> float:
        """Kept samples as a share of those that reached the step."""
        return self.kept / self.size if self.size else 0.0

    @property
    def fit(self) -> float | None:
        """The mean similarity of picture and caption of those that reached the step; None where none is known."""
        return _mean([(self.fit_kept, self.kept), (self.fit_dropped, self.size - self.kept)])


class Example(NamedTuple):
    """A sample of a gallery."""

    sid: int
    uid: str
    text: str | None
    distance: float
    kept: bool


class Gallery(NamedTuple):
    """Samples of one concept: from the centroid outwards, and from the edge inwards."""

    nearest: list[Example]
    farthest: list[Example]


MILLIONTHS = 'avg((1e6 * "{signal}")::BIGINT)'
"""SQL of a mean that does not depend on the order of rows."""

COUNTS = """
    SELECT cluster, count(*), count(rank), count_if(kept AND rank IS NOT NULL), any_value(quota),
        {fit} FILTER (rank IS NOT NULL AND kept), {fit} FILTER (rank IS NOT NULL AND NOT kept)
    FROM ledger WHERE cluster IS NOT NULL AND {placed} GROUP BY cluster ORDER BY cluster
"""


def concepts(run: FinishedRun, connection: duckdb.DuckDBPyConnection) -> list[Concept]:
    """The clusters of the last step that makes any, the most complex first; by number where none is measured."""
    table = run.quotas(run.placing[-1]) if run.placing else None
    measured = {row["cluster"]: row for row in table.to_pylist()} if table is not None else {}
    clusters = []
    signal = similarity(run)
    fit = "max(NULL::DOUBLE)" if signal is None else MILLIONTHS.format(signal=signal)
    query = COUNTS.format(placed=run.placed, fit=fit)
    for cluster, samples, size, kept, quota, *fits in connection.execute(query).fetchall():
        more = measured.get(cluster, {})
        values = {name: more.get(name) for name in ("d_intra", "d_inter", "complexity")}
        means = [None if fit is None else fit / 1e6 for fit in fits]
        of_concept = more.get("quota", quota)
        clusters.append(Concept(cluster, samples, size, kept, of_concept, *means, **values))
    return sorted(clusters, key=lambda concept: -(concept.complexity or 0.0))


def similarity(run: FinishedRun) -> str | None:
    """The signal of how well picture and caption fit, of the embedding that the last clustering step clusters."""
    step = run.settings_of(run.placing[-1]) if run.placing else None
    embeds = [embed for embed in run.steps if embed.makes_embedding]
    named = step.clustered_embedding if step is not None else None
    for embed in embeds:
        if named in (None, embed.makes_embedding):
            return next(iter(run.made_by(embed.name, Kind.SIGNAL)), None)
    return None


def mean_fits(concepts: Sequence[Concept]) -> tuple[float | None, float | None]:
    """The mean similarity of all kept samples, and of all that reached the step and were dropped."""
    kept = [(c.fit_kept, c.kept) for c in concepts]
    dropped = [(c.fit_dropped, c.size - c.kept) for c in concepts]
    return _mean(kept), _mean(dropped)


def _mean(weighed: Sequence[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in weighed if value is not None and weight]
    total = sum(weight for _, weight in known)
    return math.fsum(value * weight for value, weight in known) / total if total else None


def named(
    run: FinishedRun, connection: duckdb.DuckDBPyConnection, clusters: Sequence[Concept]
) -> list[Concept]:
    """The same with their names."""
    known = names(run, connection, [concept.cluster for concept in clusters])
    return [concept._replace(name=known.get(concept.cluster)) for concept in clusters]


def trained(run: FinishedRun) -> str | None:
    """One line on how the concepts' centroids were trained; None without centroids, or without their table."""
    path = paths.table(run.placing[-1], "train", "centroids") if run.placing else ""
    whole = storage.join(run.root, path)
    if not path or not storage.exists(whole):
        return None
    file = part_files.inspect(run.root, path, storage.stat(whole).size)
    if file is None:
        return None
    notes = file.notes
    facts = [f"{run.placing[-1]}: {notes['clusters']:,} centroids"]
    if "borrowed" in notes:
        facts.append("taken from another run")
    else:
        curve = notes["sample_similarity"]
        facts.append(
            f"trained on {notes['trained_on']:,} samples, whose mean similarity to them is {curve[-1]:.4f} after "
            f"{len(curve)} iterations"
        )
        if len(curve) > 1:
            facts.append(f"the last gained {curve[-1] - curve[-2]:.1e}")
    if "movement" in notes:
        facts.append(
            f"{len(notes['movement'])} iterations over all samples: similarity {notes['similarity'][-1]:.4f}, last "
            f"movement {notes['movement'][-1]:.1e}, {sum(notes['reseeded']):,} re-seeded, "
            f"{'converged' if notes['converged'] else 'not converged'}"
        )
    return "; ".join([", ".join(facts[:2]), *facts[2:]])


def spread(concepts: Sequence[Concept], most: int) -> list[Concept]:
    """At most ``most`` of them, evenly from the first to the last."""
    if len(concepts) <= most:
        return list(concepts)
    last = len(concepts) - 1
    return [concepts[round(i * last / (most - 1))] for i in range(most)]


ENDS = """
    SELECT cluster, {end}(struct_pack(sid, uid, text, distance, kept), row(distance, uid), $count) AS ends
    FROM ledger
    WHERE cluster IN (SELECT unnest($chosen)) AND distance IS NOT NULL AND {placed} AND {reached}
    GROUP BY cluster
"""


def galleries(
    run: FinishedRun,
    connection: duckdb.DuckDBPyConnection,
    chosen: Sequence[Concept],
    count: int,
) -> dict[int, Gallery]:
    """The ``count`` samples at either end of each chosen concept, of those that reached the step that chooses."""
    ends: dict[str, dict[int, list[Example]]] = {"min_by": {}, "max_by": {}}
    # A step that only clusters gives no ranks: then all assigned samples are shown.
    ranked = any(concept.size for concept in chosen)
    for end, by_cluster in ends.items():
        reached = "rank IS NOT NULL" if ranked else "true"
        query = ENDS.format(end=end, placed=run.placed, reached=reached)
        values: dict[str, Any] = {"count": count, "chosen": [c.cluster for c in chosen]}
        for cluster, examples in connection.execute(query, values).fetchall():
            by_cluster[cluster] = [Example(**example) for example in examples]
    return {
        concept.cluster: Gallery(
            ends["min_by"].get(concept.cluster, []), ends["max_by"].get(concept.cluster, [])
        )
        for concept in chosen
    }
