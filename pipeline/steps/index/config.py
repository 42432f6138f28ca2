"""The settings of `index`."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydantic import Field

from tamis.pipeline.steps.concepts.config import Clustered
from tamis.schemas.step import Width

MOST_CONCEPTS = 65_536
"""Concepts of `clusters: auto`, at most."""

LIST_BYTES = 1 << 20
"""Bytes of vectors that are read at once, about: a list holds one concept, or several small ones."""

FOR_A_PICTURE = 16
"""Concepts that a search reads for a picture, unless it is told another number."""


def lists_of(samples: int, dim: int, clusters: int) -> int:
    """The number of lists of embedded samples; each concept lies in one."""
    return min(clusters, max(1, samples * dim * 2 // LIST_BYTES))


class Index(Clustered):
    """Lay the vectors of all embedded pictures out by concept, for `tamis search` in large runs; drops nothing."""

    kind = "index"
    for_searches = True
    queries: int = Field(
        100,
        ge=1,
        le=1000,
        description="pictures of the run for which the recall of a search is measured, each against all vectors",
    )

    def concepts(self, samples: int, dim: int) -> int:
        """The number of concepts: of `auto` the square root of that of the samples."""
        del dim
        if self.clusters != "auto":
            return self.clusters
        return max(1, min(math.isqrt(max(0, samples)), MOST_CONCEPTS))

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """The bytes of the lists, and of what a search reads and holds."""
        from tamis.pipeline.tasks.dealing import GROUPS

        yield from super().notes(samples, width)
        dim = width(self.embedding)
        if not samples or not dim:
            return
        clusters = self.concepts(samples, dim)
        share = min(1.0, FOR_A_PICTURE / clusters)
        lists = lists_of(samples, dim, clusters)
        each = samples * dim * 2 / lists
        twice = ", and as much again until `tamis clean` frees it" if lists > GROUPS else ""
        yield (
            f"lists: {_size(samples * (2 * dim + 32))} on disk{twice}; a search reads "
            f"about {_size(samples * dim * 2 * share)} of them, and holds {_size(each + 4.0 * clusters * dim)}"
        )


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"
