"""The embedded pairs of a finished run: embeddings to train on, and hashes and captions by which pairs are grouped.

Everything comes from the run's tables; pictures are opened only where a student looks at them. Of a large run a
uniform share is read, so that memory is bounded by ``MOST_PAIRS`` and not by the data set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.contrastive import Sides
from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.pictures import Squares
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tables.columns import uid_words, vectors
from tamis.pipeline.tasks.product import Kind
from tamis.pipeline.tasks.sources import INDEX
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.step import StepModel

MOST_PAIRS = 100_000
"""Pairs that are read, at most; 200 MB of embeddings of 512 dimensions."""

LARGEST = 2**53
"""Whole numbers below it are told apart as float64."""

Objects = npt.NDArray[np.object_]


class NothingMetError(StateError):
    """Pairs have embeddings, and none of them meets the condition; ``pairs`` of them have one."""

    def __init__(self, root: str, pairs: int) -> None:
        super().__init__(f"{root}: none of its {pairs:,} embedded pairs meets the condition")
        self.pairs = pairs


class Seen(NamedTuple):
    """What is read of each pair for a student that reads another embedding, or the pictures."""

    embed: str = ""  # the step whose vectors of pictures are read
    captions: bool = False  # those of captions too
    pictures: Callable[[Sequence[int]], Squares] | None = None  # by sid


@dataclass(frozen=True)
class Pairs:
    """n embedded pairs, in the order of their uids; every field has n rows."""

    uid: npt.NDArray[np.uint64]  # (n, 2)
    text: Objects  # the caption
    sha256: Objects  # of the picture's bytes; None where there is none, like the next three
    pixels: Objects
    phash: Objects
    layout: Objects
    image: npt.NDArray[np.float16]  # (n, d)
    caption: npt.NDArray[np.float16]  # (n, e)
    candidate: npt.NDArray[np.bool_]  # reached the run's first selecting step
    kept: npt.NDArray[np.bool_]
    label: Objects  # the class; None where it has none, or none was asked for
    origin: Objects  # the value of the column that tells sources apart; None likewise
    signals: npt.NDArray[
        np.float64
    ]  # (n, signals): those that selectors need, NaN where there is none
    cluster: npt.NDArray[np.int32]  # its concept in the run; -1 where the run has none
    distance: npt.NDArray[np.float32]  # to the concept's centroid
    width: npt.NDArray[
        np.float64
    ]  # of the picture, in pixels; NaN where there is none, like the next
    height: npt.NDArray[np.float64]
    seen: npt.NDArray[Any]  # (n, ...) what a student reads of the picture, where it is not `image`
    told: npt.NDArray[np.float16]  # (n, k) what it reads of the caption, where it is not `caption`

    def __len__(self) -> int:
        return len(self.uid)

    def take(self, rows: npt.NDArray[Any]) -> Pairs:
        """Some of the pairs, by row numbers or by a mask."""
        return Pairs(*(getattr(self, field.name)[rows] for field in fields(self)))

    def sides(self) -> Sides:
        """Both embeddings as float32."""
        return Sides(self.image.astype(np.float32), self.caption.astype(np.float32))

    def joined(self, other: Pairs) -> Pairs:
        """These pairs, then those of ``other``."""
        both = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Pairs(*(np.concatenate(pair) for pair in both))


def embedding_of(run: FinishedRun) -> Any:
    """The step that makes the embedding that the run clusters, else its first one.

    Raises:
        StateError: the run has none, or one without captions.
    """
    embeds = [step for step in run.steps if step.makes_embedding]
    if not embeds:
        raise StateError(f"{run.root}: has no embeddings: put an `embed` step into its job")
    chosen = concepts_of(run)
    named = chosen.clustered_embedding if chosen is not None else None
    embed = next((step for step in embeds if step.makes_embedding == named), embeds[0])
    if not run.made_by(embed.name, Kind.SIGNAL):
        raise StateError(
            f"{run.root}: `{embed.name}` has embeddings of pictures alone: heads need those of captions too; "
            "use an encoder with a text tower, or give text embeddings"
        )
    return embed


def concepts_of(run: FinishedRun) -> StepModel | None:
    """The run's first step that selects by concepts."""
    return next((step for step in run.steps if step.selects and step.training), None)


NUMBERS = {
    *("DOUBLE", "FLOAT", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"),
}
"""DuckDB's types of a signal that is a number."""


def read(
    run: FinishedRun,
    signals: list[str],
    classes: str | None = None,
    most: int = MOST_PAIRS,
    origin: str | None = None,
    where: str = "true",
    seen: Seen | None = None,
) -> Pairs:
    """All pairs with an embedding of both sides, or a uniform ``most`` of them; of those what is ``seen``.

    Args:
        run: finished, its ``tables/`` still there.
        signals: columns of the ledger that become ``Pairs.signals``, in that order.
        classes: the column of the ledger that holds class names.
        most: how many pairs at most.
        origin: the column of the ledger that tells sources apart.
        where: a condition on the ledger's rows, in SQL.
        seen: what else is read; pairs without it are left out.

    Raises:
        StateError: no embeddings, or ``tables/`` has been cleared.
        NothingMetError: embeddings, but none of a pair that meets ``where``.
        JobError: the ledger has no such column.
    """
    embed, concepts = embedding_of(run), concepts_of(run)
    needed = [("ingest", "files"), (embed.name, "vectors")]
    if seen is not None and seen.embed:
        needed.append((seen.embed, "vectors"))
    _check_tables(run, [*needed, (concepts.name, "assign")] if concepts else needed)
    with sql.connect(run) as connection:
        named = [column for column in (classes, origin) if column is not None]
        types = _check_columns(connection, run, signals, named)
        connection.register("chosen", _chosen(connection, embed.name, run, most, where))
        texts = tuple(_as_text(column, types) for column in (classes, origin))
        query = _query(embed, concepts, signals, texts, seen)
        table = connection.sql(query).to_arrow_table()
    found = _pairs(table, run, signals, seen)
    if seen is None or seen.pictures is None:
        return found
    squares = seen.pictures(table["sid"].to_pylist())
    if not squares.found.any():
        raise StateError(
            f"{run.root}: none of its pictures can be opened: a student cannot look at them"
        )
    return replace(found.take(squares.found), seen=squares.pixels)


def _check_tables(run: FinishedRun, needed: list[tuple[str, str]]) -> None:
    for step, phase in needed:
        if not storage.exists(storage.join(run.root, paths.folder(step, phase), INDEX)):
            raise StateError(
                f"{run.root}: the tables of `{step}` are gone: take manifest.json away, and the job makes them again"
            )


def _check_columns(
    connection: Any, run: FinishedRun, signals: Sequence[str], named: Sequence[str]
) -> dict[str, str]:
    """The ledger's columns and their types."""
    columns = {name: kind for name, kind, *_ in connection.execute("DESCRIBE ledger").fetchall()}
    for name in [*signals, *named]:
        if name not in columns:
            raise JobError(
                f"{run.root}: the ledger has no column `{name}`: add it to a `signals` step of the job "
                "(a column of the input will do) and run it again"
            )
    for name in signals:
        if columns[name] not in NUMBERS:
            raise JobError(
                f"{run.root}: the ledger's column `{name}` is {columns[name]}: name one that holds numbers"
            )
    return columns


def _as_text(column: str | None, types: Mapping[str, str]) -> str:
    """A column as text, in SQL: whole numbers without a point, as groups of quotas are named."""
    if column is None:
        return "NULL::VARCHAR"
    value = f"l.{sql.identifier(column)}"
    if types[column] not in {"DOUBLE", "FLOAT"}:
        return f"{value}::VARCHAR"
    is_whole = f"{value} = floor({value}) AND abs({value}) < {LARGEST}"
    return (
        f"CASE WHEN {is_whole} THEN TRY_CAST({value} AS BIGINT)::VARCHAR ELSE {value}::VARCHAR END"
    )


def _chosen(connection: Any, embed: str, run: FinishedRun, most: int, where: str) -> pa.Table:
    """(sid, reached) of the pairs that are read: the smallest hashes of seed and uid."""
    embedded = f'(SELECT sid FROM "{embed}".vectors WHERE reason IS NULL)'
    table = connection.sql(
        f"SELECT sid, uid, kept, step FROM {embedded} "
        f"JOIN (SELECT sid, uid, kept, step FROM ledger WHERE ({where}\n)) USING (sid)"
    ).to_arrow_table()
    if not table.num_rows:
        (count,) = connection.execute(f"SELECT count(*) FROM {embedded}").fetchone()
        if not count:
            raise StateError(f"{run.root}: no pair has an embedding: nothing can be trained")
        raise NothingMetError(run.root, count)
    uid = order.parse(table["uid"].to_pylist())
    count = min(most, len(uid))
    hashes = order.hashed(uid, run.manifest.job["seed"], "evaluation")
    rows = order.smallest(hashes, uid, count)
    names = [step.name for step in run.steps]
    first = next((i for i, s in enumerate(run.steps) if _selects(s, run, embed)), len(names))
    reaching = set(names[first:])
    reached = [
        bool(kept) or step in reaching
        for kept, step in zip(table["kept"].to_pylist(), table["step"].to_pylist(), strict=True)
    ]
    chosen = pa.table({"sid": table["sid"], "reached": reached})
    return chosen.take(pa.array(rows))


def _selects(step: StepModel, run: FinishedRun, embed: str) -> bool:
    names = [s.name for s in run.steps]
    return step.selects and names.index(step.name) > names.index(embed)


def _query(
    embed: StepModel,
    concepts: StepModel | None,
    signals: list[str],
    texts: tuple[str, ...],
    seen: Seen | None,
) -> str:
    """``texts``: the class and the source, in SQL."""
    columns = enumerate(map(sql.identifier, signals))
    quoted = ", ".join(f"l.{name}::DOUBLE AS signal_{i}" for i, name in columns)
    label, source = texts
    cluster, join = "NULL::INTEGER AS cluster, NULL::FLOAT AS similarity", ""
    if concepts is not None:
        cluster = "a.cluster, a.similarity"
        join = f'LEFT JOIN "{concepts.name}".assign AS a USING (sid)'
    if seen is not None and seen.embed:
        cluster += ", o.image AS seen" + (", o.text AS told" if seen.captions else "")
        whole = f'(SELECT * FROM "{seen.embed}".vectors WHERE reason IS NULL)'
        join += f" JOIN {whole} AS o USING (sid)"
    return (
        "SELECT c.sid, i.uid, i.text, i.sha256, i.pixels, i.phash, i.layout, i.width, i.height, "
        "v.image, v.text AS caption, c.reached, l.kept, "
        f"{label} AS label, {source} AS origin, {cluster}{', ' + quoted if quoted else ''} "
        f'FROM chosen AS c JOIN "{embed.name}".vectors AS v USING (sid) '
        f"JOIN ingest.files AS i USING (sid) JOIN ledger AS l USING (sid) {join} ORDER BY i.uid"
    )


def _pairs(table: pa.Table, run: FinishedRun, signals: list[str], seen: Seen | None) -> Pairs:
    n = table.num_rows
    if not n:
        raise StateError(
            f"{run.root}: no embedded pair has what the student reads: nothing can be trained"
        )
    columns = [table[f"signal_{i}"].to_numpy() for i in range(len(signals))]
    values = np.stack(columns, axis=1) if columns else np.empty((n, 0))
    similarity = table["similarity"].fill_null(1.0).to_numpy()
    nothing = np.empty((n, 0), np.float16)
    other = seen is not None and bool(seen.embed)
    return Pairs(
        uid=uid_words(_fixed(table["uid"])),
        text=_objects(table["text"]),
        sha256=_objects(table["sha256"]),
        pixels=_objects(table["pixels"]),
        phash=_objects(table["phash"]),
        layout=_objects(table["layout"]),
        image=vectors(_fixed(table["image"])),
        caption=vectors(_fixed(table["caption"])),
        candidate=table["reached"].to_numpy(zero_copy_only=False),
        kept=table["kept"].to_numpy(),
        label=_objects(table["label"]),
        origin=_objects(table["origin"]),
        signals=values.astype(np.float64),
        cluster=table["cluster"].fill_null(-1).to_numpy().astype(np.int32),
        distance=np.float32(1) - similarity.astype(np.float32),
        width=_numbers(table["width"]),
        height=_numbers(table["height"]),
        seen=vectors(_fixed(table["seen"])) if other else nothing,
        told=vectors(_fixed(table["told"])) if seen is not None and seen.captions else nothing,
    )


def _fixed(column: pa.ChunkedArray) -> pa.Array:
    """The fixed-size binary array of a column, which DuckDB returns as bytes of any length."""
    array = column.combine_chunks()
    return array.cast(pa.binary()).cast(pa.binary(len(array[0].as_py())))


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """A column as numbers, NaN for null."""
    numbers: npt.NDArray[np.float64] = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    return numbers


def _objects(column: pa.ChunkedArray) -> Objects:
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values
