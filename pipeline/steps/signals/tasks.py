"""The tasks of `signals`: the values of one part's living samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.host import at_work
from tamis.pipeline.inputs.formats import PICTURE_COLUMNS, VALUE_COLUMNS, format_of
from tamis.pipeline.inputs.images import ImageDamage, Opened
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.signals import caption_words, plugin, plugin_files
from tamis.pipeline.signals.heads import Head, PromptHead
from tamis.pipeline.signals.kinds import (
    FileSignal,
    PictureSignal,
    PixelSignal,
    SizeSignal,
    TextFunction,
    TextSignal,
)
from tamis.pipeline.signals.plugin_values import Plugged
from tamis.pipeline.signals.registry import SIGNALS
from tamis.pipeline.signals.word_list import WordList
from tamis.pipeline.steps.shared.pictures import picture_changed
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.steps.signals.files import stored_classifier, stored_head, stored_list
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import scatter, vectors
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.task import TaskIo, location
from tamis.schemas.errors import ModelError
from tamis.schemas.ledger import Reason

Values = dict[str, pa.Array]
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Computed:
    """Arguments of ``values``; those that no signal of the part needs are None."""

    types: Mapping[str, str]  # signal -> its Arrow type
    from_: Mapping[str, Mapping[str, Any]]  # signal -> its ``_identity``
    file: InputFile = location()
    paths: Mapping[str, str] = location()  # signal -> path of its head, list or classifier
    kind: str | None = None  # of the input file
    max_pixels: int | None = None
    sha256: str | None = None  # of a file whose own columns are read


@dataclass(frozen=True)
class Killed:
    """Arguments of ``decide``: the rows that ended their worker."""

    rows: Sequence[int]


def values(io: TaskIo[Computed]) -> Iterator[pa.Table]:
    """``row`` and the signals of one part's living samples."""
    rows = io.living_rows()
    columns: Values = {}
    for compute in COMPUTING:
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
    classifiers = {name: one for name, one in io.args.from_.items() if "classifier" in one}
    if not names and not lists and not classifiers:
        return {}
    texts = io.read("ingest", ["text"])["text"].take(pa.array(rows)).to_pylist()
    functions = {name: _loaded(name) for name in names} | {
        name: _counting(stored_list(io.args.paths[name], digest)) for name, digest in lists.items()
    }
    for name, one in classifiers.items():
        model = stored_classifier(io.args.paths[name], one["classifier"])
        functions[name] = partial(model.values, label=one["label"])
    return caption_words.by_block(texts, functions)


def _counting(words: WordList) -> TextFunction:
    return lambda texts: pa.array(words.occurrences(texts))


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
    """Each picture is read once for all signals, and decoded once where one needs that."""
    names = [*_computed(io, PixelSignal), *_computed(io, PictureSignal)]
    own = {name: found for name, found in _plugins(io).items() if "pixels" in found.reads}
    of_files = {name: _loaded(name) for name in _computed(io, FileSignal)}
    if not names and not own and not of_files:
        return {}
    functions = [_of_picture(name) for name in names]
    scores = np.empty((len(rows), len(names)))
    answers: dict[str, list[Any]] = {name: [] for name in (*own, *of_files)}
    table = io.read("ingest", PICTURE_COLUMNS).take(pa.array(rows))
    file, limit, named = io.args.file, io.args.max_pixels, _Named(io, rows)
    assert limit is not None, "pixels are needed"
    others = _arguments(io, rows, own)
    for number, data in enumerate(format_of(file).pictures(file, table)):
        at_work.advance(1)
        for name, function in of_files.items():
            answers[name].append(function(data))
        if not functions and not own:
            continue
        try:
            picture = Opened(data, limit)
            scores[number] = [function(picture) for function in functions]
        except ImageDamage as damage:
            raise picture_changed(file, damage) from damage
        for name, found in own.items():
            given = [
                picture.pixels if read == "pixels" else others[read][number].as_py()
                for read in found.reads
            ]
            answers[name].append(found.plugged.of_one(given, number, named))
    computed = {
        name: pa.array(scores[:, i], mask=np.isnan(scores[:, i])) for i, name in enumerate(names)
    }
    computed |= {name: pa.array(answers[name], pa.string()) for name in of_files}
    return computed | {name: pa.array(answers[name], own[name].plugged.type) for name in own}


def _of_picture(name: str) -> Callable[[Opened], float]:
    function = _loaded(name)
    if isinstance(SIGNALS[name], PixelSignal):
        return lambda picture: float(function(picture.pixels))
    return cast("Callable[[Opened], float]", function)


def _of_plugins(io: TaskIo[Computed], rows: npt.NDArray[np.int64]) -> Values:
    """Functions of the user's own, but for those of pictures."""
    own = {name: found for name, found in _plugins(io).items() if "pixels" not in found.reads}
    if not own:
        return {}
    columns, named = _arguments(io, rows, own), _Named(io, rows)
    made: Values = {}
    for name, found in own.items():
        given = [columns[read] for read in found.reads]
        if found.by_row:
            listed = zip(*(column.to_pylist() for column in given), strict=True)
            made[name] = found.plugged.of_rows(listed, named)
        else:
            made[name] = found.plugged.of_columns(given, len(rows), named)
    return made


class _Plugin(NamedTuple):
    """A user's function, the parameters that it has, and whether it takes one sample."""

    plugged: Plugged
    reads: Sequence[str]
    by_row: bool


def _plugins(io: TaskIo[Computed]) -> dict[str, _Plugin]:
    found: dict[str, _Plugin] = {}
    for name, origin in io.args.from_.items():
        if not {"plugin", "package"} & set(origin):
            continue
        file, function = plugin_files.loaded(io.root, name, origin)
        kind = pa.type_for_alias(io.args.types[name])
        plugged = Plugged(name, file, function, kind)
        found[name] = _Plugin(plugged, origin["reads"], origin["by_row"])
    return found


def _arguments(
    io: TaskIo[Computed], rows: npt.NDArray[np.int64], own: Mapping[str, _Plugin]
) -> dict[str, pa.Array]:
    """The functions' arguments but for pictures: parameter -> a value a row."""
    reads = sorted({read for found in own.values() for read in found.reads} - {"pixels"})
    table = io.read("ingest", sorted({plugin.COLUMNS[read] for read in reads} or {"key"}))
    table = table.take(pa.array(rows))
    columns = {read: table[plugin.COLUMNS[read]].combine_chunks() for read in reads}
    return {
        read: column.cast(pa.string()) if pa.types.is_large_string(column.type) else column
        for read, column in columns.items()
    }


class _Named:
    """The name of a sample for a message, by its position among ``rows``; read when it is asked for."""

    def __init__(self, io: TaskIo[Computed], rows: npt.NDArray[np.int64]) -> None:
        self._io, self._rows = io, rows

    def __call__(self, position: int) -> str:
        keys = self._io.read("ingest", ["key"])["key"]
        key = keys[int(self._rows[position])].as_py()
        return f"the sample {key} of {self._io.args.file.source}"


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
    """Scores of the samples that have the embeddings that a head takes; null for the others."""
    heads = {name: head for name, head, read in _heads(io) if read is None}
    if not heads:
        return {}
    with_text = any(head.takes_text for head in heads.values())
    table = io.read("embedding", ["row", "image", *(["text"] if with_text else [])])
    table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows)))
    columns: Values = {}
    for name, head in heads.items():
        sides = ["image", "text"] if head.takes_text else ["image"]
        has_all = np.logical_and.reduce([np.asarray(table[side].is_valid()) for side in sides])
        embedded = table.filter(pa.array(has_all))
        positions = np.searchsorted(rows, embedded["row"].to_numpy())
        missing = np.ones(len(rows), dtype=bool)
        missing[positions] = False
        of = [embedded[side] for side in sides]
        if io.args.from_[name].get("prompt"):
            values: npt.NDArray[Any] = np.full(len(rows), "", dtype=object)
            values[positions] = _nearest(io.args.paths[name], head, of)
        else:
            values = np.zeros(len(rows), dtype=np.float32)
            values[positions] = _score(io.args.paths[name], head, of)
        columns[name] = pa.array(values, mask=missing)
    return columns


def _of_signals(io: TaskIo[Computed], rows: npt.NDArray[np.int64]) -> Values:
    """Scores of the samples that have all signals that a head takes; null for the others."""
    columns: Values = {}
    for name, head, read in _heads(io):
        if read is None:
            continue
        given = np.stack([_signal(io, one, rows) for one in read], axis=1)
        there = np.isfinite(given).all(axis=1)
        scores = np.zeros(len(rows), dtype=np.float32)
        scores[there] = head.score(given[there])
        columns[name] = pa.array(scores, mask=~there)
    return columns


def _heads(io: TaskIo[Computed]) -> Iterator[tuple[str, Head, Sequence[str] | None]]:
    """Signal, head, and the signals that it takes; None for an embedding."""
    for name, origin in io.args.from_.items():
        if "head" in origin:
            yield name, stored_head(io.args.paths[name], origin["head"]), origin.get("reads")


def _signal(io: TaskIo[Computed], name: str, rows: npt.NDArray[np.int64]) -> Vector:
    """The values of a stored signal in some rows, NaN for none."""
    column = scatter(io.read(product.signal(name).role, ["row", name]), io.rows)[name].take(
        pa.array(rows)
    )
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _score(path: str, head: Head, sides: Sequence[pa.ChunkedArray]) -> npt.NDArray[np.float32]:
    with _fitting(path):
        return head.score(*(vectors(side) for side in sides))


def _nearest(path: str, head: Head, sides: Sequence[pa.ChunkedArray]) -> list[str]:
    assert isinstance(head, PromptHead), "planning has checked it"
    with _fitting(path):
        return head.nearest(vectors(sides[0]))


@contextmanager
def _fitting(path: str) -> Iterator[None]:
    """A head that other vectors were meant for is named."""
    try:
        yield
    except ValueError as error:
        raise ModelError(
            f"head {storage.redact(path)}: {error}: give the embedding it was made for"
        ) from error


COMPUTING = (
    _of_texts,
    _of_sizes,
    _of_pixels,
    _of_plugins,
    _of_columns,
    _of_embeddings,
    _of_signals,
)
"""What computes signals of each kind."""
