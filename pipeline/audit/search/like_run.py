"""A query by all that another run kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tamis.pipeline.algorithms.arrays import Float64Array, Int64Array
from tamis.pipeline.algorithms.choosing import target as likeness
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.audit.search.stored import Embedding, Side
from tamis.pipeline.steps.selectors.target.config import Target
from tamis.pipeline.steps.shared.vector_sets import blocks, kind_of, vector_set
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import Float16s
from tamis.schemas.errors import JobError
from tamis.schemas.layout import MANIFEST


@dataclass(frozen=True)
class Several:
    """Vectors to look for together, of a finished run: what counts is the cosine to the nearest of them."""

    target: kmeans.Centroids
    what: str
    sid: None = None  # no sample is left out

    def above(
        self, rows: Float16s, bound: float, most: int | None
    ) -> tuple[Int64Array, Float64Array]:
        """Positions and cosines of the rows whose cosine to the nearest vector is ``bound`` or more."""
        del most
        values = likeness.nearest(rows, self.target)[0].astype(np.float64)
        at = np.flatnonzero(values >= bound)
        return at, values[at]


def of_run(embedding: Embedding, path: str, side: Side) -> Several:
    """The vectors of what a finished run kept, as a step `target` takes them: of very many some, by their hashes.

    Raises:
        JobError, StateError: it is no finished run, or another encoder has embedded it.
        InputError: its vectors cannot be read.
    """
    if kind_of(path) != "run":
        raise JobError(f"--like-run {path}: is a file: name the directory of a finished run")
    if not storage.exists(storage.join(storage.absolute(path), MANIFEST)):
        raise JobError(
            f"--like-run {storage.redact(path)}: is no finished run: name a directory that has {MANIFEST}"
        )
    most = Target.model_fields["most"].default
    of = vector_set("--like-run", path, embedding.config, embedding.run.seed, side, most)
    rows = np.concatenate([block.rows for block in blocks(of, None)])
    return Several(kmeans.Centroids(rows), f"what {storage.redact(path)} kept")
