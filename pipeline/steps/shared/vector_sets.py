"""Sets of vectors from outside the run, in blocks: of a file, of captions that are embedded, or of a finished run.

A target is one, and what an `exclude` step lists by its embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline import encoders
from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import target
from tamis.pipeline.encoders.base import Encoder, Precision
from tamis.pipeline.encoders.own import Own
from tamis.pipeline.inputs import embedding_files
from tamis.pipeline.inputs.part_builder import hash_file
from tamis.pipeline.results.manifest_files import ManifestFiles
from tamis.pipeline.steps.shared import other_runs
from tamis.pipeline.steps.shared.caption_files import captions
from tamis.pipeline.steps.shared.config import CAPTIONS, VECTORS
from tamis.pipeline.steps.shared.other_runs import check_sha256, reading, unchanged
from tamis.pipeline.steps.shared.other_targets import why_none
from tamis.pipeline.store import storage
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.columns import Float16s, vectors
from tamis.pipeline.tasks.task import location
from tamis.schemas.errors import InputError, JobError, ModelError, StateError
from tamis.schemas.layout import MANIFEST
from tamis.schemas.scope import Scope

BLOCK = 8_192
"""Vectors that are read at once."""

Kind = Literal["run", "vectors", "captions"]
Side = Literal["image", "text", "both"]


class Block(NamedTuple):
    """Some vectors of a target: unit rows, float32 (n, d), and a name of each for people."""

    names: list[str]
    rows: npt.NDArray[np.float32]


class Pairs(NamedTuple):
    """Pairs of a run: float16 (n, d), picture and caption."""

    names: list[str]
    image: Float16s
    text: Float16s


@dataclass(frozen=True)
class VectorSet:
    """Arguments of the tasks that read such a set."""

    kind: Kind
    sha256: str  # of the file; of a run that of its manifest, which has the digests of all else
    side: Side  # of a run
    seed: int
    most: int | None  # vectors that are taken; None: all
    embedding: str | None  # of a run: the step that has embedded
    encoder: str | None  # of captions: the identity of its weights and its preprocessing
    spec: str | None
    precision: Precision | None
    device: str | None
    batch_size: int | None
    query: str | None  # of vectors: what they are of, in words
    path: str = location()
    shown: str = location()  # its name in messages
    own: Own | None = location()  # the encoder, where it is a class of the user's own


def kind_of(path: str) -> Kind:
    """The kind of a target, by the ending of its path."""
    if path.lower().endswith(CAPTIONS):
        return "captions"
    return "vectors" if path.partition("#")[0].lower().endswith(VECTORS) else "run"


def vector_set(
    step: str,
    given: str,
    embed: Any,
    seed: int,
    side: Side,
    most: int | None = None,
    query: str | None = None,
    shown: str | None = None,
) -> VectorSet:
    """The identity of a target.

    Args:
        step: the name of the step that reads it.
        given: its path, as the job has it.
        embed: the settings of the step that embeds the samples.
        seed: the job's.
        side: of a run's vectors; `both` needs a run.
        most: vectors that are taken, at most; None for all.
        query: what a file of vectors is of, in words.
        shown: its name in messages; by default `the target` and its path.

    Raises:
        InputError, JobError, StateError: it is not there, or does not fit the samples' embedding; one line.
    """
    path, mark, member = given.partition("#")
    absolute = storage.absolute(path)
    kind = kind_of(given)
    named = shown or f"the target `{storage.redact(given)}`"
    shown = f"{step}: {named}"
    _check_kind(step, shown, kind, side, query)
    if kind == "run" and side != "both" and not storage.exists(storage.join(absolute, MANIFEST)):
        raise JobError(f"{shown}{why_none(path)}")
    reads_text = kind == "captions"
    identity = _text_encoder(shown, embed) if reads_text else None
    made_by = str(embedding_in(absolute, embed, shown).name) if kind == "run" else None
    hashed = storage.join(absolute, MANIFEST) if kind == "run" else absolute
    storage.stat(hashed)
    if reads_text and next((some for some in captions(absolute, None) if some), None) is None:
        raise InputError(f"{shown} has no captions: give at least one")
    return VectorSet(
        kind,
        hash_file(hashed)[1].hex(),
        side,
        seed,
        most,
        made_by,
        identity,
        *_reading(embed, reads_text),
        query,
        path=f"{absolute}{mark}{member}",
        own=embed.own.spec if reads_text and embed.own is not None else None,
        shown=named,
    )


def _check_kind(step: str, shown: str, kind: Kind, side: Side, query: str | None) -> None:
    if query is not None and kind != "vectors":
        raise JobError(f"{step}: `query` says what a file of vectors is of: leave it out")
    if side == "both" and kind != "run":
        raise JobError(f"{shown} has one side alone, and pairs are needed: give a finished run")


def _reading(embed: Any, reads_text: bool) -> tuple[Any, Any, Any, Any]:
    """Encoder, precision, device and batch size of captions."""
    if not reads_text:
        return None, None, None, None
    return embed.encoder, embed.precision, embed.device, embed.batch_size


def _text_encoder(shown: str, embed: Any) -> str:
    if embed.takes_embeddings:
        raise JobError(
            f"{shown} has captions, and `{embed.name}` has no model to embed them with: give their vectors (.npy), or "
            "a finished run"
        )
    described = encoders.describe(embed.spec, embed.precision)
    if not described.has_text:
        raise JobError(
            f"{shown} has captions, and the encoder `{embed.encoder}` reads pictures alone: give vectors (.npy) or a "
            "finished run"
        )
    return described.fingerprint


def steps_of(root: str, shown: str) -> list[Any]:
    """The settings of a finished run's steps.

    Raises:
        JobError: there is no such run; ``shown`` names it.
        StateError: its manifest is damaged, or of another version.
    """
    if not storage.exists(storage.join(root, MANIFEST)):
        raise JobError(f"{shown} is no finished run, which has manifest.json: name a run directory")
    return other_runs.steps_of(root, shown)


def embedding_in(root: str, embed: Any, shown: str, name: str | None = None) -> Any:
    """The settings of the step of a finished run that has embedded with the encoder of ``embed``; it may be ``name``d.

    Raises:
        JobError: there is none.
    """
    own = encoders.describe(embed.spec, embed.precision).fingerprint
    others: list[Any] = [
        step
        for step in steps_of(root, shown)
        if step.makes_embedding and name in (None, step.makes_embedding)
    ]
    for step in others:
        same = (step.spec, step.precision) == (embed.spec, embed.precision)
        if same or _fingerprint(step) == own:
            return step
    known = ", ".join(step.encoder for step in others) or "none"
    raise JobError(
        f"{shown} was not embedded by `{embed.encoder}`, as the samples are, but by {known}: run it with this encoder"
    )


def _fingerprint(embed: Any) -> str | None:
    """The identity of a step's encoder; None where it cannot be had here, and so is another."""
    try:
        return encoders.describe(embed.spec, embed.precision).fingerprint
    except ModelError:
        return None


def blocks(of: VectorSet, embed: Encoder | None) -> Iterator[Block]:
    """The vectors of a target; ``embed`` is the encoder, for captions.

    Raises:
        StateError: the target has changed since the run began.
        InputError: it cannot be read, or has no vector.
    """
    read = {"run": _of_run, "vectors": _of_vectors, "captions": _of_captions}[of.kind]
    first = 0
    with _as_begun(of):
        for names, rows in read(of, embed):
            if not len(rows):
                continue
            try:
                yield Block(names, target.unit(rows))
            except ValueError as error:
                raise InputError(f"{of.shown}: from vector {first:,} on: {error}") from None
            first += len(rows)
    if not first:
        raise InputError(f"{of.shown} is empty: give at least one vector")


@contextmanager
def _as_begun(of: VectorSet) -> Iterator[None]:
    """Context in which a target is read that is the one with which the run began, from the first to the last byte.

    Raises:
        StateError: it has changed.
    """
    path = of.path.partition("#")[0]
    hashed = storage.join(path, MANIFEST) if of.kind == "run" else path
    with unchanged([hashed], of.shown):
        check_sha256(hashed, of.sha256, of.shown)
        yield


Raw = Iterator[tuple[list[str], npt.NDArray[np.floating]]]


def _taken(of: VectorSet, uid: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The rows that are taken of n, ascending: all, or those whose names have the smallest hashes."""
    if of.most is None or len(uid) <= of.most:
        return np.arange(len(uid))
    return np.sort(order.smallest(order.hashed(uid, of.seed, "target"), uid, of.most))


def _numbers(count: int) -> npt.NDArray[np.uint64]:
    uid = np.zeros((count, 2), np.uint64)
    uid[:, 1] = np.arange(count)
    return uid


def _of_vectors(of: VectorSet, _: Any) -> Raw:
    with embedding_files.open_matrix(of.path) as (file, matrix):
        taken = _taken(of, _numbers(matrix.rows))
        for start in range(0, matrix.rows, BLOCK):
            stop = min(start + BLOCK, matrix.rows)
            first, last = np.searchsorted(taken, [start, stop])
            here = taken[first:last]
            if len(here):
                rows = embedding_files.read_rows(file, matrix, start, stop)[here - start]
                if of.query is not None and matrix.rows == 1:
                    yield [of.query], rows
                else:
                    yield (
                        [f"row {number} of {of.query or 'the target'}" for number in here.tolist()],
                        rows,
                    )


def _of_captions(of: VectorSet, encoder: Encoder | None) -> Raw:
    texts = [text for batch in captions(of.path, None) for text in batch]
    taken = _taken(of, _numbers(len(texts)))
    assert encoder is not None, "a target of captions comes with an encoder"
    assert of.batch_size is not None, "and with the size of its batches"
    for start in range(0, len(taken), BLOCK):
        some = [texts[number] for number in taken[start : start + BLOCK].tolist()]
        yield some, encoder.encode_texts(some, of.batch_size)


def _of_run(of: VectorSet, _: Any) -> Raw:
    for names, table in _chosen(of, (of.side,)):
        yield names, vectors(table[of.side])


def pairs(of: VectorSet) -> Pairs:
    """The pairs of a finished run, in the order of its samples; ``of.side`` is `both`.

    Raises:
        StateError, InputError: as for ``blocks``.
    """
    with _as_begun(of):
        found = list(_chosen(of, ("image", "text")))
    if not found:
        raise InputError(f"{of.shown} kept no samples: give a run that kept some")
    names = [name for some, _ in found for name in some]
    image, text = (
        np.concatenate([vectors(table[side]) for _, table in found]) for side in ("image", "text")
    )
    return Pairs(names, image, text)


def _chosen(of: VectorSet, sides: Sequence[str]) -> Iterator[tuple[list[str], pa.Table]]:
    """The uids of what is taken of a run, and their vectors, a part at a time."""
    kept = list(_kept(of))
    uid = order.parse([name for _, _, names in kept for name in names])
    taken = _taken(of, uid)
    start = 0
    for part, rows, names in kept:
        first, last = np.searchsorted(taken, [start, start + len(rows)])
        here = taken[first:last] - start
        start += len(rows)
        if len(here):
            table = _embedded(of, part, sides)
            position = np.searchsorted(table["row"].to_numpy(), rows[here])
            yield [names[number] for number in here.tolist()], table.take(pa.array(position))


def _kept(of: VectorSet) -> Iterator[tuple[int, npt.NDArray[np.int64], Sequence[str]]]:
    """(part, rows, uids) of what a finished run kept, a part at a time."""
    manifest = other_runs.manifest_of(of.path, of.shown)
    outputs = ManifestFiles(of.path, manifest.files).outputs
    # Not a listing, which may lack what was written a moment ago, or has been removed since.
    ledger = sorted(one.path for one in outputs if one.path.startswith(f"{paths.LEDGER}/"))
    for path in (storage.join(of.path, name) for name in ledger):
        with (
            reading(path, of.shown),
            storage.open_table(path) as raw,
            ParquetFile(raw) as file,
        ):
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, ["sid", "uid", "kept"])
                table = table.filter(table["kept"])
                if table.num_rows:
                    sid = table["sid"].to_numpy()
                    yield int(sid[0] >> 32), sid & 0xFFFFFFFF, table["uid"].to_pylist()


def _embedded(of: VectorSet, part: int, sides: Sequence[str]) -> pa.Table:
    assert of.embedding is not None, "the plan has found the step that embedded"
    path = paths.table(of.embedding, "vectors", paths.task_name(Scope.PART, part))
    try:
        table = part_files.read_file(of.path, path, ["row", *sides])
    except part_files.DamagedTableError:
        raise StateError(
            f"{of.shown}: {path}, with its vectors, is missing or damaged: run that job again"
        ) from None
    if not {*sides} <= {*table.column_names}:
        mend = (
            "embed them too" if len(sides) > 1 else "say `side: image`, or embed its captions too"
        )
        raise InputError(f"{of.shown} has no vectors of captions: {mend}")
    return table
