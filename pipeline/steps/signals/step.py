"""Signals: stored columns about each living sample, which rules compare later and the ledger shows. Drops nothing.

One table a part: ``row`` and a column for each signal. A signal's version, its packages' versions, and the digest of a
head, a list or an input file are part of the fingerprint, so another model computes its part files again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.inputs.formats import PICTURE_COLUMNS, VALUE_COLUMNS, format_of
from tamis.pipeline.inputs.images import ImageDamage, to_rgb
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.signals import origins
from tamis.pipeline.signals.caption_words import Shared
from tamis.pipeline.signals.kinds import PixelSignal, SizeSignal, TextSignal
from tamis.pipeline.signals.linear_head import LinearHead, read_head
from tamis.pipeline.signals.registry import SIGNALS, Origin
from tamis.pipeline.signals.word_list import WordList, read_list
from tamis.pipeline.steps.shared.parts import drops, embedding_named
from tamis.pipeline.steps.signals.config import Signals as Config
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import vectors
from tamis.pipeline.tasks.parts import Part
from tamis.pipeline.tasks.phase import EachPart, Phase
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import CULPRITS, TaskIo, location
from tamis.schemas.errors import InputError, ModelError
from tamis.schemas.job import Job
from tamis.schemas.ledger import Reason
from tamis.schemas.resources import Claimed

Values = dict[str, pa.Array]


@dataclass(frozen=True)
class Computed:
    """Arguments of ``values``; those that no signal of the part needs are None."""

    types: Mapping[str, str]  # signal -> its Arrow type
    from_: Mapping[str, Mapping[str, Any]]  # signal -> its ``_identity``
    file: InputFile = location()
    paths: Mapping[str, str] = location()  # signal -> path of its head or list
    kind: str | None = None  # of the input file
    max_pixels: int | None = None
    sha256: str | None = None  # of a file whose own columns are read


@dataclass(frozen=True)
class Killed:
    """Arguments of ``decide``: the rows that ended their worker."""

    rows: Sequence[int]


class Signals(Step):
    """``values``: a table for each part. Only where a sample ended the process that computed them, a ``verdict``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name = config, config.name
        self.max_pixels = job.limits.max_pixels
        self.embedding = (
            embedding_named(job, config.embedding, config.name) if config.heads else None
        )

    def needs(self) -> Sequence[str]:
        """The embedding, where a head reads it."""
        return [f"embedding:{self.embedding}"] if self.embedding else []

    def makes(self) -> Mapping[str, str]:
        """Every signal."""
        return {f"signal:{name}": "values" for name in self.config.names}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Check that every signal can be computed or read, and that every head can be read."""
        origins.find(self.config, inputs)
        for path in self.config.heads.values():
            _read_head(path)
        for path in self.config.lists.values():
            _read_list(path)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """A task a part, whose arguments hold the signals' origins in its input entry."""
        resolved = origins.find(self.config, context.inputs)
        digests = {path: _read_head(path)[0] for path in self.config.heads.values()}
        digests |= {path: _read_list(path)[0] for path in self.config.lists.values()}
        types = {name: str(kind) for name, kind in resolved.types.items()}
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        if self.embedding:
            inputs["embedding"] = context.embedding(self.embedding)

        def computed(part: Part) -> Computed:
            of = resolved.by_entry[context.inputs[part.file].entry]
            return self._computed(context, part, of, digests, types)

        tasks = EachPart(context.parts, inputs, each=computed, bundle=1)
        signals = [
            origin.signal for entry in resolved.by_entry.values() for origin in entry.values()
        ]
        model = any(signal is not None and signal.packages for signal in signals)
        claim = Claimed(pool=model)
        yield Phase("values", values, tasks, claim, per_row=True, by_sample=True)
        killed = dict(context.done(self.name, "values").files.noted(CULPRITS))
        if any(killed.values()):
            each = EachPart(
                context.parts, {}, each=lambda part: Killed(killed.get(part.number, []))
            )
            yield Phase("verdict", decide, each)

    def _computed(
        self,
        context: Context,
        part: Part,
        of: Mapping[str, Origin],
        digests: Mapping[str, str],
        types: Mapping[str, str],
    ) -> Computed:
        file = context.inputs[part.file]
        needed = {origin.needs for origin in of.values()}
        digest = None
        if "column" in needed and not format_of(file).values_in_table:
            # Ingest's table does not hold these columns: the file's own digest stands for them.
            digest = context.done("ingest", "files").files.note(part.file)["sha256"]
        return Computed(
            types,
            {name: _identity(origin, digests) for name, origin in of.items()},
            kind=file.kind if needed & {"pixels", "column"} else None,
            max_pixels=self.max_pixels if "pixels" in needed else None,
            sha256=digest,
            file=file,
            paths={
                name: storage.absolute(path)
                for name, origin in of.items()
                if (path := origin.head or origin.words) is not None
            },
        )


def _identity(origin: Origin, digests: Mapping[str, str]) -> dict[str, Any]:
    """The identity of a signal's values beside the part's rows, as JSON."""
    if origin.head is not None:
        return {"head": digests[origin.head]}
    if origin.words is not None:
        return {"list": digests[origin.words]}
    if origin.column is not None:
        return {"column": origin.column}
    assert origin.signal is not None, "an origin is one of the four"
    return {"signal": origin.signal.identity()}


def values(io: TaskIo[Computed]) -> Iterator[pa.Table]:
    """``row`` and the signals of one part's living samples."""
    rows = io.alive()
    columns: Values = {}
    for compute in (_of_texts, _of_sizes, _of_pixels, _of_columns, _of_embeddings):
        columns |= compute(io, rows)
    arrays = {
        name: columns[name].cast(pa.type_for_alias(kind))
        for name, kind in sorted(io.args.types.items())
    }
    yield pa.table({"row": rows.astype(np.uint32), **arrays})


def decide(io: TaskIo[Killed]) -> Iterator[pa.Table]:
    """The samples of one part that ended their worker."""
    yield drops(io, np.asarray(io.args.rows, dtype=np.int64), str(Reason.KILLED_ITS_WORKER))


def _computed(io: TaskIo[Computed], kind: type[Any]) -> list[str]:
    """The part's signals of class ``kind``."""
    return [
        name
        for name, origin in io.args.from_.items()
        if "signal" in origin and isinstance(SIGNALS[name], kind)
    ]


@lru_cache(maxsize=64)
def _loaded(name: str) -> Any:
    """A signal's function, with its model if it has one; kept by the process between tasks."""
    return cast("TextSignal | SizeSignal | PixelSignal", SIGNALS[name]).load()


def _of_texts(io: TaskIo[Computed], rows: npt.NDArray[np.int64]) -> Values:
    names = _computed(io, TextSignal)
    lists = {name: origin["list"] for name, origin in io.args.from_.items() if "list" in origin}
    if not names and not lists:
        return {}
    texts = Shared(io.read("ingest", ["text"])["text"].take(pa.array(rows)).to_pylist())
    counts = {
        name: pa.array(_list(io.args.paths[name], digest).occurrences(texts))
        for name, digest in lists.items()
    }
    return {name: _loaded(name)(texts) for name in names} | counts


def _of_sizes(io: TaskIo[Computed], rows: npt.NDArray[np.int64]) -> Values:
    names = _computed(io, SizeSignal)
    if not names:
        return {}
    reads = sorted({read for name in names for read in SIGNALS[name].reads})
    table = io.read("ingest", reads).take(pa.array(rows))
    return {
        name: _loaded(name)(*(table[read].combine_chunks() for read in SIGNALS[name].reads))
        for name in names
    }


def _of_pixels(io: TaskIo[Computed], rows: npt.NDArray[np.int64]) -> Values:
    """Each picture is read and decoded once for all signals."""
    names = _computed(io, PixelSignal)
    if not names:
        return {}
    functions = [_loaded(name) for name in names]
    scores = np.empty((len(rows), len(names)))
    table = io.read("ingest", PICTURE_COLUMNS).take(pa.array(rows))
    file, limit = io.args.file, io.args.max_pixels
    assert limit is not None, "pixels are needed"
    for number, data in enumerate(format_of(file).pictures(file, table)):
        try:
            pixels = np.asarray(to_rgb(data, limit))
        except ImageDamage as damage:
            raise InputError(
                f"`{storage.redact(file.path)}`: a picture that was whole is no longer ({damage.message}): "
                "the file has changed; run again with --accept-changed"
            ) from damage
        scores[number] = [function(pixels) for function in functions]
    return {name: pa.array(scores[:, i]) for i, name in enumerate(names)}


def _of_columns(io: TaskIo[Computed], rows: npt.NDArray[np.int64]) -> Values:
    wanted = {
        name: origin["column"] for name, origin in io.args.from_.items() if "column" in origin
    }
    if not wanted:
        return {}
    kinds = {column: pa.type_for_alias(io.args.types[name]) for name, column in wanted.items()}
    table = io.read("ingest", VALUE_COLUMNS).take(pa.array(rows))
    arrays = format_of(io.args.file).values(io.args.file, table, kinds)
    return {name: arrays[column] for name, column in wanted.items()}


def _of_embeddings(io: TaskIo[Computed], rows: npt.NDArray[np.int64]) -> Values:
    """Scores of the samples that have a picture's embedding; null for the others."""
    names = [name for name, origin in io.args.from_.items() if "head" in origin]
    if not names:
        return {}
    table = io.read("embedding", ["row", "image"])
    alive = np.isin(table["row"].to_numpy(), rows)
    embedded = table.filter(pa.array(alive & np.asarray(table["image"].is_valid())))
    positions = np.searchsorted(rows, embedded["row"].to_numpy())
    present = np.zeros(len(rows), dtype=bool)
    present[positions] = True
    columns: Values = {}
    for name in names:
        scores = np.zeros(len(rows), dtype=np.float32)
        scores[positions] = _score(io.args.paths[name], io.args.from_[name]["head"], embedded)
        columns[name] = pa.array(scores, mask=~present)
    return columns


def _score(path: str, digest: str, embedded: pa.Table) -> npt.NDArray[np.float32]:
    try:
        return _head(path, digest).score(vectors(embedded["image"]))
    except ValueError as error:
        raise ModelError(
            f"head {storage.redact(path)}: {error}: give the embedding it was made for"
        ) from error


@lru_cache(maxsize=8)
def _list(path: str, digest: str) -> WordList:
    current, words = _read_list(path)
    if current != digest:
        raise InputError(
            f"list {storage.redact(path)} has changed since the run began: start it again"
        )
    return words


def _read_list(path: str) -> tuple[str, WordList]:
    """A list's sha256, and the list.

    Raises:
        InputError: the file cannot be read, or is no list.
    """
    try:
        data = storage.read_bytes(storage.absolute(path))
    except OSError as error:
        raise InputError(f"list {storage.redact(path)} cannot be read: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest(), read_list(data, storage.redact(path))


@lru_cache(maxsize=8)
def _head(path: str, digest: str) -> LinearHead:
    current, head = _read_head(path)
    if current != digest:
        raise ModelError(
            f"head {storage.redact(path)} has changed since the run began: start it again"
        )
    return head


def _read_head(path: str) -> tuple[str, LinearHead]:
    """A head file's sha256, and the head.

    Raises:
        ModelError: the file cannot be read, or is no head.
    """
    try:
        data = storage.read_bytes(storage.absolute(path))
    except OSError as error:
        raise ModelError(f"head {storage.redact(path)} cannot be read: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest(), read_head(data, storage.redact(path))
