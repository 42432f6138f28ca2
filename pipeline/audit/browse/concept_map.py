"""The concepts of a run on a plane, for the browser page: near each other where their centroids are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tamis.pipeline.algorithms import plane
from tamis.pipeline.audit.reading.concept_names import names
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.columns import centroid_rows
from tamis.pipeline.tables.part_files import DamagedTableError
from tamis.schemas.errors import InputError

if TYPE_CHECKING:
    import duckdb

SHOWN = 600
"""Concepts on the plane, at most; the largest. To place them takes seconds, with the square of their number."""

COUNTS = """
    SELECT cluster, count(*) AS samples, count_if(kept), count(*) OVER ()
    FROM ledger WHERE cluster IS NOT NULL AND {placed}
    GROUP BY cluster ORDER BY samples DESC, cluster LIMIT {most}
"""


def concept_map(run: FinishedRun, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The largest concepts of the last step that makes any, with name and place, and how many there are in all.

    Raises:
        InputError: the run has no concepts, or their centroids have been cleared.
    """
    if not run.placing:
        raise InputError("this run has no concepts: no step of its job clusters")
    path = paths.table(run.placing[-1], "train", "centroids")
    try:
        rows = centroid_rows(part_files.read_file(run.root, path))
    except DamagedTableError:
        raise InputError(
            f"{storage.redact(run.root)}: {path}, with the centroids, is missing or damaged: run its job again"
        ) from None
    found = connection.execute(COUNTS.format(placed=run.placed, most=SHOWN)).fetchall()
    clusters = [cluster for cluster, *_ in found]
    places = plane.placed(rows[clusters])
    called = names(run, connection, clusters)
    return {
        "step": run.placing[-1],
        "of": found[0][3] if found else 0,
        "concepts": [
            {
                "cluster": cluster,
                "name": called.get(cluster),
                "samples": samples,
                "kept": kept,
                "x": x,
                "y": y,
            }
            for (cluster, samples, kept, _), (x, y) in zip(found, places.tolist(), strict=True)
        ],
    }
