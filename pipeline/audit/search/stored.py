"""The stored embeddings of a finished run: part by part, or by cluster, from the buckets of semantic duplicates.

A block of them is one row group: memory is bounded by it. The next one is read while one is compared.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.arrays import BoolArray, Float32Array, Int64Array, UInt64Array
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.search.lists import RecentLists
from tamis.pipeline.audit.search.wanted import Wanted
from tamis.pipeline.host.lookahead import in_order
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates
from tamis.pipeline.steps.embed.config import Embed
from tamis.pipeline.steps.index.config import Index, lists_of
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.store import storage
from tamis.pipeline.tables import columns, part_files, paths
from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tables.part_files import DamagedTableError, Slice
from tamis.pipeline.tables.sids import part_of, row_of, sids_of, span_of
from tamis.pipeline.tasks import dealing, sources
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.parts import bundle_of
from tamis.pipeline.tasks.phase_index import read_index
from tamis.pipeline.tasks.product import Kind
from tamis.pipeline.tasks.sources import INDEX, ByPart
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.scope import Scope

Side = Literal["image", "text"]

SIDES: dict[Side, str] = {"image": "pictures", "text": "captions"}
"""What the vectors of a side are of, in messages."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_READING = threading.Lock()
"""Tables are read by one thread at a time: what is known of open files is not guarded."""

_recent = RecentLists()


@dataclass(frozen=True)
class Block:
    """Embeddings of n samples."""

    vectors: columns.Float16s  # (n, d)
    sid: Int64Array  # (n,)
    uids: Callable[
        [Int64Array], UInt64Array
    ]  # of the samples at some positions, read when it is asked


class Recall(NamedTuple):
    """The share of the ten nearest pictures that a search of so many clusters found, of at most so many queries."""

    probes: int
    share: float
    queries: int


class Embedding:
    """One embedding of a run: the tables of its step ``embed``."""

    def __init__(self, run: FinishedRun, name: str | None = None) -> None:
        """``name``: as later steps call it; None for the only one.

        Raises:
            StateError: the run has none, or ``tables/`` has been cleared.
            JobError: it has none of that name, or several to choose from.
        """
        self.run = run
        self.config = _chosen(run, name)
        self._vectors = _index(run, self.config.name, "vectors")
        if self._vectors is None:
            raise StateError(
                f"{storage.redact(run.root)}: the tables of `{self.config.name}` have been cleared: "
                "`tamis run` with that run's job.yaml makes them again"
            )

    @cached_property
    def dim(self) -> int:
        """The numbers of a vector."""
        assert self._vectors is not None
        return int(self._vectors.noted_numbers("dim")[0])

    @property
    def usable(self) -> int:
        """Samples that have a usable embedding."""
        counts = {count.step: count.kept for count in self.run.manifest.steps}
        return counts[self.config.name]

    @cached_property
    def has_text(self) -> bool:
        """Whether captions are embedded too."""
        return bool(self.run.made_by(self.config.name, Kind.SIGNAL))

    @cached_property
    def _by_part(self) -> ByPart:
        assert self._vectors is not None
        return Done(Scope.PART, self._vectors).by_part(self.run.parts, [])

    @cached_property
    def _ingested(self) -> ByPart:
        files = _index(self.run, "ingest", "files")
        if files is None:
            raise StateError(f"{storage.redact(self.run.root)}: tables/ingest has been cleared")
        return Done(Scope.FILE, files).by_part(self.run.parts, [])

    def blocks(self, side: Side, wanted: Wanted) -> Iterator[Block]:
        """All usable embeddings of the samples that are wanted, part by part."""
        yield from _ahead(partial(self._block, side), self._pieces(wanted))

    def _pieces(self, wanted: Wanted) -> Iterator[tuple[int, Int64Array | None]]:
        """The parts to read, and the rows wanted of each; None for all."""
        bundle, sids = -1, None
        for part in range(len(self.run.parts)):
            if bundle_of(part)[0] != bundle:
                bundle = bundle_of(part)[0]
                sids = wanted.of_bundle(bundle)
            if not self._by_part.rows[part]:
                continue
            if sids is None:
                yield part, None
                continue
            start, stop = np.searchsorted(sids, span_of(part))
            if start < stop:
                yield part, row_of(sids[start:stop])

    def _block(self, side: Side, piece: tuple[int, Int64Array | None]) -> Block:
        part, rows = piece
        table = _read(self.run, self._by_part[part], ["row", side, "reason"])
        table = table.filter(pc.is_null(table["reason"]))
        row = columns.numbers(table["row"]).astype(np.int64)
        if rows is not None:
            there = np.isin(row, rows)
            row, table = row[there], table.filter(pa.array(there))

        def uids(positions: Int64Array) -> UInt64Array:
            named = _read(self.run, self._ingested[part], ["uid"])["uid"].combine_chunks()
            return columns.uid_words(named.take(pa.array(row[positions])))

        return Block(columns.vectors(table[side]), sids_of(part, row), uids)

    def usable_rows(self, part: int) -> Int64Array:
        """The rows of a part that have a usable embedding, ascending."""
        table = _read(self.run, self._by_part[part], ["row", "reason"])
        row: Int64Array = columns.numbers(table.filter(pc.is_null(table["reason"]))["row"])
        return row.astype(np.int64)

    def rows_of(self, part: int, side: Side, rows: Int64Array) -> columns.Float16s:
        """The vectors of some rows of a part, ascending, all of which have one."""
        table = _read(self.run, self._by_part[part], ["row", side])
        at = np.searchsorted(columns.numbers(table["row"]), rows)
        return columns.vectors(table[side])[at]

    def vectors_of(self, sids: Int64Array, side: Side) -> columns.Float16s:
        """The vectors of some samples, in the order of ``sids``, all of which have one; each part is opened once."""
        found = np.empty((len(sids), self.dim), np.float16)
        parts = part_of(sids)
        for part in np.unique(parts).tolist():
            here = np.flatnonzero(parts == part)
            rows, place = np.unique(row_of(sids[here]), return_inverse=True)
            found[here] = self.rows_of(part, side, rows)[place]
        return found

    def ingested(self, part: int, names: Sequence[str]) -> pa.Table:
        """Columns of what ingest stored of a part."""
        return _read(self.run, self._ingested[part], names)

    def vector(self, sid: int, side: Side) -> Float32Array | None:
        """The vector of one sample, as stored; None if it has none."""
        part, row = part_of(sid), row_of(sid)
        block = self._block(side, (part, np.array([row])))
        return block.vectors[0].astype(np.float32) if len(block.vectors) else None


class Clusters:
    """Embeddings of pictures by cluster, with the centroids: what `index` laid out, or semantic_duplicates compared."""

    def __init__(
        self, run: FinishedRun, config: Clustered, phase: str, members: FileColumns
    ) -> None:
        self._run, self._config, self._step, self._members = run, config, config.name, members
        self._phase = phase

    @classmethod
    def of(cls, embedding: Embedding) -> Clusters | None:
        """Those of the first `index` of the embedding, else of the first step that compared it; None where there is
        neither, or its tables have been cleared.
        """
        for kind, phase in ((Index, "lists"), (SemanticDuplicates, "members")):
            for step in embedding.run.steps:
                if isinstance(step, kind) and step.embedding in (
                    None,
                    embedding.config.makes_embedding,
                ):
                    members = _index(embedding.run, step.name, phase, cleared=True)
                    centroids = paths.table(step.name, "train", "centroids")
                    if members is not None and storage.exists(
                        storage.join(embedding.run.root, centroids)
                    ):
                        found = cls(embedding.run, step, phase, members)
                        if found._are_there:
                            return found
        return None

    @cached_property
    def _dealt(self) -> FileColumns | None:
        """The second wave's files, which hold the vectors where there are two; that of an earlier job may lie there."""
        if dealing.fan_of(self._lists) == 1:
            return None
        return _index(self._run, self._step, f"{self._phase}{dealing.DEALT}")

    @property
    def _are_there(self) -> bool:
        if dealing.fan_of(self._lists) > 1:
            return self._dealt is not None
        return _index(self._run, self._step, self._phase) is not None

    def recall(self, probes: int) -> Recall | None:
        """The recall of a search of so many clusters, or of the next fewer that was measured; None where none was."""
        table = self._run.table(self._step, "recall", "recall")
        if table is None or not isinstance(self._config, Index):
            return None
        at = int(np.searchsorted(columns.numbers(table["probes"]), probes, side="right")) - 1
        measured, share = (table[name][at].as_py() for name in ("probes", "recall"))
        return Recall(measured, share, self._config.queries)

    @property
    def rows(self) -> int:
        """Samples in all clusters: those alive where they were compared."""
        return int(self._members.rows.sum())

    @cached_property
    def centroids(self) -> Float32Array:
        """float32 (K, d)."""
        with _undamaged(self._run):
            table = part_files.read_file(
                self._run.root, paths.table(self._step, "train", "centroids")
            )
        return columns.centroid_rows(table)

    @cached_property
    def _lists(self) -> int:
        """The lists that the step makes of so many clusters."""
        clusters, dim = self.centroids.shape
        if isinstance(self._config, Index):
            return lists_of(self.rows, dim, clusters)
        return bucket_counts.of_clusters(self.rows, dim, clusters)

    @property
    def _buckets(self) -> int:
        return self._lists if self._dealt is not None else int(self._members.ends[0])

    def _slices(self, bucket: int) -> Iterator[Slice]:
        files, group, first, stop = self._members, bucket, 0, len(self._members)
        if self._dealt is not None:
            files = self._dealt
            group, first, stop = dealing.place(len(files), self._buckets, bucket)
        return (files.slice(position, group) for position in range(first, stop))

    def farthest(self) -> Float32Array:
        """(K,) the smallest cosine of a member to its centroid; infinite for an empty cluster."""
        smallest = np.full(len(self.centroids), np.inf, np.float32)
        slices = (piece for bucket in range(self._buckets) for piece in self._slices(bucket))
        read = partial(_read, self._run, names=["cluster", "distance"])
        for table in _ahead(read, slices):
            similarity = np.float32(1) - columns.numbers(table["distance"])
            np.minimum.at(smallest, columns.numbers(table["cluster"]), similarity)
        return smallest

    def blocks(self, clusters: Int64Array) -> Iterator[Block]:
        """The embeddings in some clusters."""
        chosen = np.zeros(len(self.centroids), bool)
        chosen[clusters] = True
        of_cluster = clusters * self._buckets // len(chosen)
        slices = (
            piece for bucket in np.unique(of_cluster).tolist() for piece in self._slices(bucket)
        )
        yield from _ahead(partial(self._block, chosen), slices)

    def _read_list(self, piece: Slice) -> pa.Table:
        return _read(self._run, piece, ["sid", "uid", "cluster", "vector"]).combine_chunks()

    def _block(self, chosen: BoolArray, piece: Slice) -> Block:
        """The embeddings of one row group in the ``chosen`` clusters, (K,)."""
        table = _recent.table(piece, self._read_list)
        vectors, sids, uids = (
            columns.vectors(table["vector"]),
            columns.numbers(table["sid"]),
            table["uid"],
        )
        there = chosen[columns.numbers(table["cluster"])]
        if there.all():  # as in most lists of an index: nothing is copied
            return Block(vectors, sids, lambda positions: columns.uid_words(uids)[positions])
        words = columns.uid_words(uids)[there]
        return Block(vectors[there], sids[there], lambda positions: words[positions])


def _chosen(run: FinishedRun, name: str | None) -> Embed:
    made = {step.as_: step for step in run.steps if isinstance(step, Embed)}
    if not made:
        raise StateError(
            f"{storage.redact(run.root)}: has no embeddings: put an `embed` step into its job"
        )
    listed = ", ".join(made)
    if name is None:
        if len(made) > 1:
            raise JobError(f"this run has several embeddings: --embedding is one of {listed}")
        return next(iter(made.values()))
    if name not in made:
        raise JobError(f"--embedding {name}: this run has {listed}")
    return made[name]


def _index(run: FinishedRun, step: str, phase: str, *, cleared: bool = False) -> FileColumns | None:
    """The files of a phase; None where it has none, or they have been cleared, unless ``cleared`` ones will do."""
    folder = paths.folder(step, phase)
    names = storage.listing(storage.join(run.root, folder))
    if INDEX not in names or (paths.CLEARED in names and not cleared):
        return None
    files = read_index(run.root, folder)
    if files is None:
        raise part_files.damage_error(storage.join(run.root, folder, INDEX))
    sources.keep_index(run.root, files)
    return files


def _ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results of ``read`` for each item, in order; the next one is read while one is used."""
    with ThreadPoolExecutor(1) as reader:
        yield from in_order(lambda item: reader.submit(read, item), Future.result, items, 2)


def _read(run: FinishedRun, piece: Slice, names: Sequence[str]) -> pa.Table:
    with _READING, _undamaged(run):
        return part_files.read(run.root, piece, names)


@contextmanager
def _undamaged(run: FinishedRun) -> Iterator[None]:
    """Context in which tables are read, with damage as an error that a person can mend."""
    try:
        yield
    except DamagedTableError as damage:
        raise part_files.damage_error(
            part_files.path_of(run.root, damage.path), damage.args[1]
        ) from None
