"""The samples nearest to a query: exact cosines, over the nearest clusters where there are any, else over all.

Clusters are those of `index`, or of semantic_duplicates, which hold the pictures' vectors of the samples that it
compared. All stored vectors are read for captions, for a condition on the ledger, and where samples are asked for that
the clusters lack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from tamis.pipeline.algorithms import nearest
from tamis.pipeline.algorithms.arrays import Float64Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.nearest import Best
from tamis.pipeline.audit.search.query import Query
from tamis.pipeline.audit.search.stored import SIDES, Block, Clusters, Embedding, Recall, Side
from tamis.pipeline.audit.search.wanted import FATES, Among, Wanted
from tamis.schemas.errors import JobError

if TYPE_CHECKING:
    from tamis.pipeline.audit.search.like_run import Several

PROBES = {"picture": 16, "text": 32}
"""Clusters that are searched for a picture and for a text: texts lie farther from pictures, and need twice as many."""

MOST = 20
"""Samples that are shown where nobody says how many."""

CANDIDATES = 4
"""Times the count that is asked for: so many are held before it is known which of them are kept."""

AT_ONCE = 1 << 20
"""Samples above a bound that are looked up in the ledger together."""

COLUMNS = ("uid", "sid", "source", "key", "url", "text", "kept", "step", "reason", "cluster")
"""Columns of the ledger in an answer."""

STORED = tuple(name for name in COLUMNS if name not in {"uid", "sid"})
"""Those that are read for it: a search knows the others."""


@dataclass(frozen=True)
class Asked:
    """Conditions beside the query.

    ``above``: count all samples of this cosine or more, exactly. ``probes``: None for the number that fits the query.

    Raises:
        JobError: a value that no search can have, as a person's code may give it.
    """

    count: int | None = None  # as many as MOST where none is said
    above: float | None = None
    side: Side = "image"
    among: Among = "kept"
    where: str | None = None
    probes: int | None = None
    of_text: bool = False  # the query is a text
    values: Mapping[str, Any] | None = None  # of parameters in ``where``
    dedup: float | None = None  # what is nearer than that to a better one is not shown
    of_run: bool = False  # the query is all that a run kept

    def __post_init__(self) -> None:
        """See the class."""
        for option, count in (("-n", self.count), ("--probes", self.probes)):
            if count is not None and not (isinstance(count, Integral) and count >= 1):
                raise JobError(f"{option} {count!r}: is a whole number, 1 or more")
        if not (self.above is None or (isinstance(self.above, Real) and -1 <= self.above <= 1)):
            raise JobError(
                f"--above {_written(self.above)}: is no cosine: give a number from -1 to 1"
            )
        if not (self.dedup is None or (isinstance(self.dedup, Real) and 0 < self.dedup < 1)):
            raise JobError(
                f"--dedup {_written(self.dedup)}: is a cosine between 0 and 1, such as .94"
            )
        if not (self.where is None or isinstance(self.where, str)):
            raise JobError(f"--where {self.where!r}: is no condition in SQL")
        if self.side not in SIDES:
            raise JobError(f"--side {self.side}: is one of {', '.join(SIDES)}")
        if self.among not in FATES:
            raise JobError(f"--among {self.among}: is one of {', '.join(FATES)}")

    @property
    def most(self) -> int:
        """Samples to show, at most."""
        return MOST if self.count is None else self.count


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, Real) else str(value)


@dataclass(frozen=True)
class Extent:
    """The extent of a search among the stored vectors: ``probed`` of ``clusters``, or all where both are None."""

    vectors: int  # that are stored
    probed: int | None = None
    clusters: int | None = None
    recall: Recall | None = None  # of such searches for pictures, where the run has measured it


@dataclass(frozen=True)
class Found:
    """The answer: rows of the ledger with their ``cosine``, the largest first, and what was compared."""

    rows: list[dict[str, Any]]
    searched: int  # vectors that were compared
    extent: Extent
    above: int | None = None  # samples at or above the bound
    copies: int | None = None  # that were not shown, for a better one is nearly the same

    @property
    def of(self) -> int:
        """Vectors that could have been compared."""
        return self.searched if self.extent.clusters is None else self.extent.vectors


class Search:
    """A search of one embedding of a run."""

    def __init__(self, embedding: Embedding, asked: Asked) -> None:
        """Raise JobError: captions are not embedded, or ``probes`` where no clusters are."""
        self._embedding, self._asked = embedding, asked
        if asked.side == "text" and not embedding.has_text:
            raise JobError(
                f"--side text: `{embedding.config.name}` has embedded pictures alone: leave the option out"
            )
        self._clusters = self._searchable()
        if asked.probes is not None and (self._clusters is None or asked.above is not None):
            why = "--above searches every concept that can hold one"
            if asked.of_run:
                why = "--like-run compares all vectors"
            elif self._clusters is None:
                why = "no concepts hold just the vectors asked for, so that all are searched"
            raise JobError(f"--probes {asked.probes}: {why}: leave the option out")

    def _searchable(self) -> Clusters | None:
        """The clusters, where they hold all vectors that are asked for."""
        asked = self._asked
        if asked.side != "image" or asked.where is not None or asked.of_run:
            return None
        clusters = Clusters.of(self._embedding)
        if clusters is None or asked.among == "kept":
            return clusters
        return clusters if clusters.rows == self._embedding.usable else None

    @cached_property
    def extent(self) -> Extent:
        """The vectors that will be compared."""
        if self._clusters is None:
            return Extent(self._embedding.usable)
        count = len(self._clusters.centroids)
        if self._asked.above is not None:
            return Extent(self._clusters.rows, count, count)
        usual = PROBES["text" if self._asked.of_text else "picture"]
        probed = min(self._asked.probes or usual, count)
        return Extent(self._clusters.rows, probed, count, self._clusters.recall(probed))

    @property
    def streams(self) -> bool:
        """True if all vectors may be read, however many they are."""
        return self._clusters is None or self._asked.above is not None

    def pace(self, query: Query | Several) -> tuple[int, float]:
        """The vectors of the first block, and the seconds in which they are read and compared; (0, 0.0) without any."""
        with closing(Wanted(self._embedding.run, "all", None)) as every:
            blocks = self._embedding.blocks(self._asked.side, every)
            start = time.perf_counter()
            block = next(blocks, None)
            if block is None:
                return 0, 0.0
            query.above(block.vectors, 1.0, 1)
            return len(block.sid), time.perf_counter() - start

    def find(self, query: Query | Several) -> Found:
        """The answer to one query.

        More candidates are held, and all read again, until so many of them are wanted and no near copies as are asked
        for.

        Raises:
            InputError: DuckDB refuses the condition ``where``.
        """
        asked = self._asked
        with closing(self._wanted()) as wanted:
            area = self._area(query, wanted)
            scarce = area.late is not None and not wanted.is_everything
            limit = asked.most * (CANDIDATES if scarce or asked.dedup is not None else 1)
            while True:
                scan = _Scan(query, limit, asked.above, area.early)
                scan.read(area.blocks())
                rows, copies = self._rows(scan.best, area.late)
                if len(rows) == asked.most or len(scan.best) < limit:
                    above = scan.above if asked.above is not None else None
                    return Found(rows, scan.searched, area.extent, above, copies)
                limit *= 8

    def _wanted(self) -> Wanted:
        asked = self._asked
        return Wanted(self._embedding.run, asked.among, asked.where, asked.values)

    def _area(self, query: Query | Several, wanted: Wanted) -> _Area:
        """The probed clusters; with a bound those that can hold a sample; without clusters all vectors."""
        asked, clusters = self._asked, self._clusters
        if clusters is None or not isinstance(query, Query):
            return _Area(self.extent, partial(self._embedding.blocks, asked.side, wanted))
        every = clusters.centroids
        if asked.above is None:
            assert self.extent.probed is not None, "there are clusters"
            chosen = nearest.probed(every, query.vector, self.extent.probed)
            return _Area(self.extent, partial(clusters.blocks, chosen), late=wanted)
        chosen = nearest.reachable(every, query.vector, clusters.farthest(), asked.above)
        extent = Extent(clusters.rows, len(chosen), len(every))
        return _Area(extent, partial(clusters.blocks, chosen), early=wanted)

    def _rows(self, best: Best, wanted: Wanted | None) -> tuple[list[dict[str, Any]], int | None]:
        """The ledger's rows of the best that are wanted and no copies, as many as are asked for, and the copies among
        them; looked up a few at a time.
        """
        count, bound, rows = self._asked.most, self._asked.dedup, list[dict[str, Any]]()
        cosine = dict(zip(best.sids.tolist(), best.values.tolist(), strict=True))
        uid = {
            sid: f"{high:016x}{low:016x}"
            for sid, (high, low) in zip(cosine, best.uids.tolist(), strict=True)
        }
        earlier = np.empty((0, self._embedding.dim), np.float16)
        left_out = 0
        for start in range(0, len(best), count):
            some = best.sids[start : start + count].tolist()
            stored = self._embedding.run.rows(some, STORED)
            found = [{"uid": uid[row["sid"]], "sid": row["sid"], **row} for row in stored]
            for_show = found if wanted is None else list(filter(wanted.has_fate, found))
            if bound is not None and for_show:
                sids = np.array([row["sid"] for row in for_show], np.int64)
                vectors = self._embedding.vectors_of(sids, self._asked.side)
                is_copy = nearest.copies(earlier, vectors, bound).tolist()
                earlier = np.concatenate([earlier, vectors])
            else:
                is_copy = [False] * len(for_show)
            for row, copied in zip(for_show, is_copy, strict=True):
                if len(rows) == count:
                    break
                if copied:
                    left_out += 1
                else:
                    rows.append({"cosine": cosine[row["sid"]], **row})
            if len(rows) == count:
                break
        return rows, None if bound is None else left_out


@dataclass(frozen=True)
class _Area:
    """The compared vectors: ``blocks``, and the samples wanted; looked up ``early``, or of the best alone, ``late``."""

    extent: Extent
    blocks: Callable[[], Iterable[Block]]
    early: Wanted | None = None
    late: Wanted | None = None


class _Scan:
    """Comparison of blocks with a query: how many there were, the best, and with a bound how many reach it."""

    def __init__(
        self,
        query: Query | Several,
        limit: int,
        bound: float | None = None,
        wanted: Wanted | None = None,
    ) -> None:
        self._query, self._bound, self._wanted = query, bound, wanted
        self.best = Best(limit)
        self.searched = self.above = 0
        self._held: list[tuple[Float64Array, Int64Array, UInt64Array]] = []

    def read(self, blocks: Iterable[Block]) -> None:
        """Compare all of them."""
        for block in blocks:
            self.searched += len(block.sid)
            if self._bound is None:  # one more, for the sample that is left out
                bound, most = self.best.bound, self.best.limit + 1
            else:
                bound, most = self._bound, None
            at, values = self._query.above(block.vectors, bound, most)
            own = block.sid[at] == (-1 if self._query.sid is None else self._query.sid)
            at, values = at[~own], values[~own]
            if len(at):
                self._held.append((values, block.sid[at], block.uids(at)))
                if self._wanted is None or sum(len(sids) for _, sids, _ in self._held) >= AT_ONCE:
                    self._take()
        self._take()

    def _take(self) -> None:
        """Take in what is held, without the samples that are not wanted."""
        if not self._held:
            return
        values, sids, uids = (np.concatenate(column) for column in zip(*self._held, strict=True))
        self._held = []
        if self._wanted is not None:
            wanted = self._wanted.are(sids)
            values, sids, uids = values[wanted], sids[wanted], uids[wanted]
        self.above += len(values)
        self.best.add(values, sids, uids)
