"""A look at some files, from which the job that fits them is written: what of their samples is found where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from tamis.jobs.job_files.guesses import guessed
from tamis.pipeline.inputs import columns, inner_fields, picture_paths
from tamis.pipeline.inputs.caption_names import likely
from tamis.pipeline.inputs.captions import CAPTIONS_ARE_TEXT
from tamis.pipeline.inputs.entries import input_files, listed
from tamis.pipeline.inputs.formats import format_of, outline, readable, rows_of
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.inputs.uids import NoUidError
from tamis.pipeline.planning.first_samples import mend
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.job import Captions, Input
from tamis.schemas.ledger import Reason

SAMPLES = 500
"""Samples that are looked at, from the start of the first file that has any."""

FILES = 8
"""Files that are tried."""

FIRST = ".0"
"""Behind the name of a list of pictures: the first of them."""

FOLDERS = {"image_embeddings": "img_emb", "text_embeddings": "text_emb"}
"""Key of an input -> the folder beside the metadata in which clip-retrieval writes its files."""


UNREAD_CAPTIONS = {Reason.BAD_CAPTION, Reason.CAPTION_TOO_LONG, Reason.EMPTY_CAPTION}
"""Reasons of samples that have a caption which cannot be used."""


class NoSampleError(InputError):
    """None of the first samples can be used, most of them for one ``reason``."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Look:
    """The columns, kinds and counts seen in some files.

    Attributes:
        files: all of them.
        first: the file that was looked into.
        rows: the first rows, of schema INGEST.
        samples: of all files; estimated where ``counted`` is false.
        columns: the input's own.
        embeddings: keys of the job's input that name embeddings.
        captions: how many a sample has, as the job says it.
        named: what of a sample the job has to name -> its column; `none` for a uid that is none.
        caption: the column of captions, where only its name speaks for it.
        notes: on files that are passed over.
    """

    files: Sequence[InputFile]
    first: InputFile
    rows: pa.Table
    samples: int
    counted: bool
    columns: columns.Columns
    embeddings: dict[str, str]
    captions: Captions
    named: Mapping[str, str]
    caption: str | None = None
    notes: Sequence[str] = ()

    @property
    def sound(self) -> pa.Table:
        """The rows that can be used."""
        return self.rows.filter(pc.is_null(self.rows["reason"]))

    @property
    def pictures(self) -> bool:
        """Whether the samples have pictures."""
        return bool(self.rows["image_size"].null_count < self.rows.num_rows)

    def has_similarity(self, encoder: str) -> bool:
        """Whether that encoder's embeddings tell how well pictures and captions fit."""
        both = len(self.embeddings) > 1 or "features" in self.embeddings
        return self.captions != "none" and (encoder != "precomputed" or both)


def look(patterns: Sequence[str]) -> Look:
    """A look at the files with as many captions a sample as most samples have.

    Raises:
        InputError, JobError: they cannot be read with any.
    """
    looks: list[Look] = []
    faults: list[InputError] = []
    unread: list[str] = []
    for captions in get_args(Captions):
        if captions == "each":  # as `first` is here, and copies of pictures are what it makes
            continue
        try:
            look = _look_for(patterns, captions)
        except InputError as error:
            faults.append(error)
            unfit = isinstance(error, NoSampleError) and error.reason in UNREAD_CAPTIONS
            if unfit or CAPTIONS_ARE_TEXT in str(error):
                unread = [f"the captions cannot be used: {error}"]
            continue
        without = look.rows.num_rows - look.rows["text"].null_count < look.rows.num_rows / 2
        if captions != "none" and not without:
            return look
        if captions != "none" or look.pictures:
            looks.append(look)
    if not looks:
        likeliest = _by_name(patterns)
        if likeliest is None:
            raise _told(faults)
        return likeliest
    best = looks[-1] if looks[-1].captions == "none" else looks[0]
    return replace(best, notes=[*best.notes, *unread]) if best.captions == "none" else best


def _told(faults: Sequence[InputError]) -> InputError:
    """The fault to mend first: that of pictures which a table names, or else that of the first look."""
    missing = (
        one
        for one in faults
        if isinstance(one, NoSampleError) and one.reason == Reason.MISSING_IMAGE
    )
    return next(missing, faults[0])


def _by_name(patterns: Sequence[str]) -> Look | None:
    """The look at metadata with the caption in the column that is likeliest to hold it; None where none is."""
    first = input_files(Input(path=tuple(patterns)))[0]
    for name in likely(format_of(first).columns(first)):
        try:
            return _look_for(patterns, "one", name)
        except InputError:
            continue
    return None


def _look_for(patterns: Sequence[str], captions: Captions, caption: str | None = None) -> Look:
    named = {} if caption is None else {"text": caption}
    entry = Input(path=tuple(patterns), captions=captions, columns=_columns(named))
    files, notes = listed(entry)
    try:
        first, rows = _first_rows(files)
    except NoUidError:
        named["uid"] = "none"
        entry = entry.model_copy(update={"columns": _columns(named)})
        first, rows = _first_rows(input_files(entry))
    more = {} if (picture := _picture(entry, first)) is None else {"image": picture}
    if (taken := outline(first).taken) and rows.num_rows:
        more |= _guesses(files, first, rows, {**taken, **more})
    if more:
        named |= more
        files = input_files(entry.model_copy(update={"columns": _columns(named)}))
        first, rows = _first_rows(files)
    samples = rows_of(files)
    if samples is None and len(files) == 1 and rows.num_rows < SAMPLES:
        samples = rows.num_rows  # all of them were looked at
    return Look(
        files,
        first,
        rows,
        _estimate(files, first, rows) if samples is None else samples,
        samples is not None,
        format_of(first).columns(first),
        _embeddings(files),
        captions,
        named,
        caption,
        notes,
    )


def _columns(named: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {what: (name,) for what, name in named.items()}


def _guesses(
    files: Sequence[InputFile], first: InputFile, rows: pa.Table, taken: Mapping[str, str]
) -> dict[str, str]:
    """What further columns seem to hold that all of the files that are tried have: others would lose their samples."""
    found = guessed(first, rows, format_of(first).columns(first), taken)
    if found:
        known = [format_of(file).columns(file) for file in files[:FILES]]
        found = {
            what: n for what, n in found.items() if all(n in names for names in known if names)
        }
    return found


def _estimate(files: Sequence[InputFile], first: InputFile, rows: pa.Table) -> int:
    """The number of samples, by the bytes that the first ones take."""
    size = sum(file.size for file in files)
    if rows.num_rows < SAMPLES:
        each = first.size / max(1, rows.num_rows)
    else:
        ends = [m["offset"] + m["size"] for row in rows["members"].to_pylist() for m in row or ()]
        each = max(ends, default=1) / rows.num_rows
    count: int = round(size / max(1.0, each))
    return count


def _picture(entry: Input, first: InputFile) -> str | None:
    """The column of a table without pictures that has some after all, or names some which are there."""
    if outline(first).pictures is not False:
        return None
    found = format_of(first).columns(first)
    others = [name for name, kind in found.items() if kind is None and inner_fields.DOT not in name]
    names = dict.fromkeys([*picture_paths.among(found), *others])
    for name in [*names, *(f"{name}{FIRST}" for name in names)]:
        rows = _first_with(entry, first, {"image": (name,)}, IngestOptions(part_samples=SAMPLES))
        if rows is not None and rows["reason"].null_count:
            return name
    return None


def captions_in(look: Look, patterns: Sequence[str], name: str) -> str | None:
    """How many captions a sample has in the column, key or member ``name``; None where it holds none."""
    named = _columns({**look.named, "text": name})
    unopened = IngestOptions(part_samples=SAMPLES, span=(0, 0))
    for captions in get_args(Captions)[:2]:
        entry = Input(path=tuple(patterns), captions=captions)
        rows = _first_with(entry, look.first, named, unopened)
        if rows is not None and rows["text"].null_count < rows.num_rows:
            return str(captions)
    return None


def _first_with(
    entry: Input, first: InputFile, named: Mapping[str, tuple[str, ...]], options: IngestOptions
) -> pa.Table | None:
    """The first rows of a file where the job names some columns; None where it is refused so, or has none."""
    files = input_files(entry.model_copy(update={"columns": named}))
    file = next(file for file in files if file.path == first.path)
    if outline(file).refused is not None:
        return None
    return next(iter(ingest_file(file, options)), None)


def _first_rows(files: Sequence[InputFile]) -> tuple[InputFile, pa.Table]:
    fault: dict[str, Any] = {}
    list(readable(files[:FILES]))  # raises where none can be read
    for file in files[:FILES]:
        for rows in islice(ingest_file(file, IngestOptions(part_samples=SAMPLES)), 1):
            if rows["reason"].null_count:
                return file, rows
            fault = fault or _most_frequent(rows)
    shown = storage.redact(files[0].path)
    if not fault:
        raise InputError(f"`{shown}` has no samples: name files that have some")
    raise NoSampleError(
        f"no sample of `{shown}` can be used: {fault['reason']}: {fault['message']}"
        f"{mend(files[0], fault)}",
        fault["reason"],
    )


def _most_frequent(rows: pa.Table) -> dict[str, Any]:
    """The first row that is dropped for the most frequent reason, of rows that all are."""
    reason = Counter(rows["reason"].to_pylist()).most_common(1)[0][0] if rows.num_rows else None
    return next((row for row in rows.to_pylist() if row["reason"] == reason), {})


def _embeddings(files: Sequence[InputFile]) -> dict[str, str]:
    """Embeddings that lie beside metadata: DataComp's ``X.npz``, or the folders of clip-retrieval."""
    paths = [file.path for file in files if file.path.endswith(".parquet")]
    if not paths or len(paths) < len(files):
        return {}
    if all(storage.exists(path.removesuffix(".parquet") + ".npz") for path in paths[:FILES]):
        return {"features": "true"}
    found: dict[str, str] = {}
    folder = storage.parent(paths[0])
    for key, name in FOLDERS.items():
        for base in (storage.parent(folder), folder):
            arrays = (
                [f for f in storage.files_in(f"{base}/{name}") if f.path.endswith(".npy")]
                if (storage.exists(f"{base}/{name}"))
                else []
            )
            if len(arrays) == len(paths):
                found.setdefault(key, f"{base}/{name}/*.npy")
    return found if "image_embeddings" in found else {}
