"""The vectors of a target, in blocks: of a file of vectors, of captions that are embedded, or of a finished run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline import encoders
from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import target
from tamis.pipeline.encoders.base import Encoder, Precision
from tamis.pipeline.inputs import embedding_files
from tamis.pipeline.inputs.part_builder import hash_file
from tamis.pipeline.steps.selectors.captions import captions
from tamis.pipeline.steps.selectors.target.config import Target as Config
from tamis.pipeline.steps.shared.other_runs import check_sha256, reading, steps_of, unchanged
from tamis.pipeline.store import storage
from tamis.pipeline.store.finished import MANIFEST
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.columns import vectors
from tamis.pipeline.tasks.task import location
from tamis.schemas.errors import InputError, JobError, ModelError, StateError
from tamis.schemas.scope import Scope

BLOCK = 8_192
"""Vectors that are read at once."""

Kind = Literal["run", "vectors", "captions"]


class Block(NamedTuple):
    """Some vectors of a target: unit rows, float32 (n, d), and a name of each for people."""

    names: list[str]
    rows: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Origin:
    """Arguments of the tasks that read a target."""

    kind: Kind
    sha256: str  # of the file; of a run that of its manifest, which has the digests of all else
    side: str  # of a run: image or text
    seed: int
    most: int | None  # vectors that are taken; None: all
    embedding: str | None  # of a run: the step that has embedded
    encoder: str | None  # of captions: the identity of its weights and its preprocessing
    spec: str | None
    precision: Precision | None
    device: str | None
    batch_size: int | None
    path: str = location()


def origin(config: Config, embed: Any, seed: int) -> Origin:
    """What a target is known by.

    Args:
        config: the step's settings.
        embed: the settings of the step that embeds the samples.
        seed: the job's.

    Raises:
        InputError, JobError, StateError: it is not there, or does not fit the samples' embedding; one line.
    """
    path, mark, member = config.path.partition("#")
    absolute = storage.absolute(path)
    made_by = None
    identity = None
    if config.of_captions:
        kind: Kind = "captions"
        identity = _text_encoder(config, embed)
    elif config.of_vectors:
        kind = "vectors"
    else:
        kind = "run"
        made_by = _embedding_of(config, absolute, embed)
    hashed = storage.join(absolute, MANIFEST) if kind == "run" else absolute
    storage.stat(hashed)
    reads_text = kind == "captions"
    return Origin(
        kind,
        hash_file(hashed)[1].hex(),
        config.compared,
        seed,
        config.most if config.measure == "nearest" else None,
        made_by,
        identity,
        embed.encoder if reads_text else None,
        embed.precision if reads_text else None,
        embed.device if reads_text else None,
        embed.batch_size if reads_text else None,
        path=f"{absolute}{mark}{member}",
    )


def _text_encoder(config: Config, embed: Any) -> str:
    shown = f"{config.name}: the target `{storage.redact(config.path)}` has captions, and "
    if embed.takes_embeddings:
        raise JobError(
            f"{shown}`{embed.name}` has no model to embed them with: give their vectors (.npy), or a finished run"
        )
    described = encoders.describe(embed.encoder, embed.precision)
    if not described.has_text:
        raise JobError(
            f"{shown}the encoder `{embed.encoder}` reads pictures alone: give vectors (.npy) or a finished run"
        )
    return described.fingerprint


def _embedding_of(config: Config, root: str, embed: Any) -> str:
    """The step of a finished run that has embedded with the encoder of ``embed``."""
    shown = f"{config.name}: the target `{storage.redact(config.path)}`"
    manifest = storage.join(root, MANIFEST)
    if not storage.exists(manifest):
        raise JobError(
            f"{shown} is no finished run, which has manifest.json, and no file: a file ends in .npy, .npz, .txt or "
            ".parquet"
        )
    made = steps_of(root, shown)
    own = encoders.describe(embed.encoder, embed.precision).fingerprint
    others: list[Any] = [step for step in made if step.makes_embedding]
    for step in others:
        same = (step.encoder, step.precision) == (embed.encoder, embed.precision)
        if same or _fingerprint(step) == own:
            return str(step.name)
    known = ", ".join(step.encoder for step in others) or "none"
    raise JobError(
        f"{shown} was not embedded by `{embed.encoder}`, as the samples are, but by {known}: run it with this encoder"
    )


def _fingerprint(embed: Any) -> str | None:
    """The identity of a step's encoder; None where it cannot be had here, and so is another."""
    try:
        return encoders.describe(embed.encoder, embed.precision).fingerprint
    except ModelError:
        return None


def blocks(of: Origin, embed: Encoder | None) -> Iterator[Block]:
    """The vectors of a target; ``embed`` is the encoder, for captions.

    Raises:
        StateError: the target has changed since the run began.
        InputError: it cannot be read, or has no vector.
    """
    path = of.path.partition("#")[0]
    hashed = storage.join(path, MANIFEST) if of.kind == "run" else path
    shown = storage.redact(of.path)
    read = {"run": _of_run, "vectors": _of_vectors, "captions": _of_captions}[of.kind]
    first = 0
    with unchanged([hashed], shown):
        check_sha256(hashed, of.sha256, shown)
        for names, rows in read(of, embed):
            if not len(rows):
                continue
            try:
                yield Block(names, target.unit(rows))
            except ValueError as error:
                raise InputError(
                    f"the target `{shown}`: from vector {first:,} on: {error}"
                ) from None
            first += len(rows)
    if not first:
        raise InputError(f"the target `{shown}` is empty: give at least one vector")


Raw = Iterator[tuple[list[str], npt.NDArray[np.floating]]]


def _taken(of: Origin, uid: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The rows that are taken of n, ascending: all, or those whose names have the smallest hashes."""
    if of.most is None or len(uid) <= of.most:
        return np.arange(len(uid))
    return np.sort(order.smallest(order.hashed(uid, of.seed, "target"), uid, of.most))


def _numbers(count: int) -> npt.NDArray[np.uint64]:
    uid = np.zeros((count, 2), np.uint64)
    uid[:, 1] = np.arange(count)
    return uid


def _of_vectors(of: Origin, _: Any) -> Raw:
    with embedding_files.open_matrix(of.path) as (file, matrix):
        taken = _taken(of, _numbers(matrix.rows))
        for start in range(0, matrix.rows, BLOCK):
            stop = min(start + BLOCK, matrix.rows)
            first, last = np.searchsorted(taken, [start, stop])
            here = taken[first:last]
            if len(here):
                rows = embedding_files.read_rows(file, matrix, start, stop)[here - start]
                yield [f"row {number} of the target" for number in here.tolist()], rows


def _of_captions(of: Origin, encoder: Encoder | None) -> Raw:
    texts = [text for batch in captions(of.path, None) for text in batch]
    taken = _taken(of, _numbers(len(texts)))
    assert encoder is not None, "a target of captions comes with an encoder"
    assert of.batch_size is not None, "and with the size of its batches"
    for start in range(0, len(taken), BLOCK):
        some = [texts[number] for number in taken[start : start + BLOCK].tolist()]
        yield some, encoder.encode_texts(some, of.batch_size)


def _of_run(of: Origin, _: Any) -> Raw:
    kept = list(_kept(of.path))
    uid = order.parse([name for _, _, names in kept for name in names])
    taken = _taken(of, uid)
    start = 0
    for part, rows, names in kept:
        first, last = np.searchsorted(taken, [start, start + len(rows)])
        here = taken[first:last] - start
        start += len(rows)
        if len(here):
            table = _embedded(of, part)
            position = np.searchsorted(table["row"].to_numpy(), rows[here])
            chosen = vectors(table[of.side])[position]
            yield [names[number] for number in here.tolist()], chosen


def _kept(root: str) -> Iterator[tuple[int, npt.NDArray[np.int64], Sequence[str]]]:
    """(part, rows, uids) of what a finished run kept, a part at a time."""
    folder = storage.join(root, paths.LEDGER)
    for name in sorted(storage.listing(folder)):
        path = storage.join(folder, name)
        with (
            reading(path, storage.redact(root)),
            storage.open_table(path) as raw,
            ParquetFile(raw) as file,
        ):
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, ["sid", "uid", "kept"])
                table = table.filter(table["kept"])
                if table.num_rows:
                    sid = table["sid"].to_numpy()
                    yield int(sid[0] >> 32), sid & 0xFFFFFFFF, table["uid"].to_pylist()


def _embedded(of: Origin, part: int) -> pa.Table:
    assert of.embedding is not None, "the plan has found the step that embedded"
    path = paths.table(of.embedding, "vectors", paths.task_name(Scope.PART, part))
    try:
        table = part_files.read_file(of.path, path, ["row", of.side])
    except part_files.DamagedTableError:
        raise StateError(
            f"{storage.redact(of.path)}: {path}, with the target's vectors, is missing or damaged: run that job again"
        ) from None
    if of.side not in table.column_names:
        raise InputError(
            f"the target `{storage.redact(of.path)}` has no vectors of captions: say `side: image`, or embed its "
            "captions too"
        )
    return table
