"""Names of concepts, from the captions nearest to their centroids: the same in every place that shows one.

What is rare is judged by a sample of all captions that is spread over the run, and small however large the run is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms import distinctive
from tamis.pipeline.audit.reading.finished_run import FinishedRun, sound
from tamis.pipeline.steps.shared.audit import Row
from tamis.pipeline.store import storage
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import paths
from tamis.pipeline.tables.columns import numbers
from tamis.pipeline.tasks.parts import BUNDLE, bundle_of, bundles
from tamis.schemas.scope import Scope

if TYPE_CHECKING:
    import duckdb

NEAREST = 32
"""Captions that name a concept, at most."""

CHARACTERS = 300
"""Characters of a caption that are read, at most."""

PARTS, ROWS = 20, 500
"""Parts whose captions are counted, at most, spread over the run; and captions of each."""

ONE_BY_ONE = 2_000_000
"""Samples of a run up to which a single concept is named: all distances are read for it."""

AT_ONCE = 5_000
"""Concepts whose captions are held at once."""

CAPTIONS = """
    SELECT cluster, min_by(struct_pack(text := text[:{characters}]), row(distance, uid), {count})
    FROM ledger WHERE cluster IN (SELECT unnest($chosen)) AND distance IS NOT NULL AND {placed}
    GROUP BY cluster
"""


class _Captions(NamedTuple):
    """The number of captions, of ``total``, that have each word."""

    counts: Counter[str]
    total: int


def names(
    run: FinishedRun, connection: duckdb.DuckDBPyConnection, clusters: Sequence[int]
) -> dict[int, str]:
    """The names of some clusters of the last step that makes any; one without captions has none."""
    elsewhere = _counted(run)
    query = CAPTIONS.format(characters=CHARACTERS, count=NEAREST, placed=run.placed)
    named: dict[int, str] = {}
    for start in range(0, len(clusters), AT_ONCE):
        chosen = {"chosen": list(clusters[start : start + AT_ONCE])}
        for cluster, rows in connection.execute(query, chosen).fetchall():
            named[cluster] = distinctive.name(_captions(rows), *elsewhere)
    return {cluster: name for cluster, name in named.items() if name}


def name(run: FinishedRun, cluster: int) -> str | None:
    """The name of one cluster of the last step that makes any, without DuckDB; None in a run of over ONE_BY_ONE."""
    if run.rows_in > ONE_BY_ONE:
        return None
    if cluster not in run.concept_names:
        run.concept_names[cluster] = _name(run, cluster)
    return run.concept_names[cluster]


def _name(run: FinishedRun, cluster: int) -> str | None:
    found = [_members(run, table, cluster) for table in _placed(run)]
    distances, sids = (np.concatenate([pair[i] for pair in found]) for i in range(2))
    cut = np.partition(distances, NEAREST - 1)[NEAREST - 1] if len(sids) > NEAREST else np.inf
    near = distances <= cut  # with all that tie with the last
    rows = run.rows(sids[near].tolist(), ("sid", "uid", "text"))
    order = sorted(zip(distances[near].tolist(), rows, strict=True), key=_by_distance)
    return distinctive.name(_captions(row for _, row in order[:NEAREST]), *_counted(run)) or None


def _by_distance(pair: tuple[float, Row]) -> tuple[float, str]:
    return pair[0], pair[1]["uid"]


def _captions(rows: Iterable[Row]) -> list[str]:
    return [row["text"][:CHARACTERS] for row in rows if row["text"] is not None]


def _members(
    run: FinishedRun, table: pa.Table, cluster: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Distances and sids of the samples in a cluster."""
    there = _valid(table["cluster"]) & _valid(table["distance"])
    there &= _values(table["cluster"], pa.int64()) == cluster
    for earlier in run.placing[:-1]:
        there &= ~_is(table["step"], earlier)
    distance = _values(table["distance"], pa.float32())
    return distance[there], _values(table["sid"], pa.int64())[there]


def _values(column: pa.ChunkedArray, kind: pa.DataType) -> npt.NDArray[Any]:
    """The numbers of a column, anything where it has none.

    A comparison by Arrow, or its own way to an array, would import pandas, for which ``explain`` waits.
    """
    array = column.cast(kind).combine_chunks()
    stored = np.dtype(np.float32 if pa.types.is_floating(kind) else np.int64)
    if not len(array):
        return np.zeros(0, stored)
    return np.frombuffer(array.buffers()[1], stored)[array.offset : array.offset + len(array)]


def _is(column: pa.ChunkedArray, text: str) -> npt.NDArray[np.bool_]:
    """Where a column of text has ``text``."""
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    known = encoded.dictionary.to_pylist()
    codes = _values(pa.chunked_array([encoded.indices]), pa.int64())
    there: npt.NDArray[np.bool_] = codes == (known.index(text) if text in known else -1)
    return there & _valid(column)


def _valid(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where a column has a number."""
    valid: npt.NDArray[np.bool_] = numbers(pc.is_valid(column).cast(pa.uint8())).astype(bool)
    return valid


def _counted(run: FinishedRun) -> _Captions:
    captions = list(_spread(run))
    return _Captions(distinctive.frequencies(captions), len(captions))


def _spread(run: FinishedRun) -> Iterator[str]:
    """The first captions of parts that lie evenly over the run."""
    parts = len(run.parts)
    for part in np.unique(np.linspace(0, parts - 1, min(parts, PARTS)).round().astype(int)):
        bundle, group = bundle_of(int(part))
        path = _path(run, bundle)
        with sound(path), storage.open_table(path, pieces=BUNDLE) as raw, ParquetFile(raw) as file:
            texts = file.read_row_group(group, ["text"])["text"]
        for caption in texts.slice(0, ROWS).to_pylist():
            if caption is not None:
                yield caption[:CHARACTERS]


def _placed(run: FinishedRun) -> Iterator[pa.Table]:
    """The ledger's columns that tell of places, a part at a time."""
    columns = ["sid", "cluster", "distance", *(["step"] if run.placing[1:] else [])]
    for bundle in range(bundles(len(run.parts))):
        path = _path(run, bundle)
        with sound(path), storage.open_table(path) as raw, ParquetFile(raw) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns)


def _path(run: FinishedRun, bundle: int) -> str:
    name = f"{paths.task_name(Scope.BUNDLE, bundle)}.parquet"
    return storage.join(run.root, paths.LEDGER, name)
