"""The job that fits some files: what `tamis init --input` writes after a look at them.

Bounds are the strictest of a few common ones that the first samples pass; a share stands where a bound would depend on
the encoder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.jobs.terminal import display
from tamis.pipeline import encoders
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.inputs import columns, unread
from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.formats import format_of, outline, rows_of
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.inputs.suffixes import CAPTION, META, PICTURES
from tamis.pipeline.planning.first_samples import mend
from tamis.pipeline.planning.preview import unread_pictures
from tamis.pipeline.signals import caption_statistics
from tamis.pipeline.store import storage
from tamis.schemas import yaml12
from tamis.schemas.errors import InputError, ModelError
from tamis.schemas.job import Captions, Input
from tamis.schemas.tables import find_column

SAMPLES = 500
"""Samples that are looked at, from the start of the first file that has any."""

FILES = 8
"""Files that are tried."""

LOST = 0.02
"""Share of the sound samples that a bound may drop, at most; where every candidate drops more, the mildest is taken."""

CANDIDATES: dict[str, tuple[str, tuple[float, ...]]] = {
    "words": ("min", (2, 1)),
    "min_side": ("min", (200, 64, 32, 16)),
    "aspect_ratio": ("max", (3.0, 4.0, 6.0, 10.0)),
}
"""Signal -> which end is bounded, and the bounds that are tried, the strictest first."""

CLIP = "open_clip:ViT-B-32/laion2b_s34b_b79k"
CLIP_REPOSITORY = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

FOLDERS = {"image_embeddings": "img_emb", "text_embeddings": "text_emb"}
"""Key of an input -> the folder beside the metadata in which clip-retrieval writes its files."""

CAPTION_WORDS = ("capt", "text", "title", "desc", "prompt", "alt", "sentence", "label")
"""Pieces of the names that columns of captions have."""

SHOWN = 5
"""Columns that are named as possible captions."""

CAPTIONS = {
    "first": "of each list the first; each: a sample for every caption, then exact_duplicates: {on: pair}",
    "none": "most pictures come without",
}
"""Of an input's ``captions`` -> what the fitted job says of it."""

SMALL = 400
"""Samples from which the fitted job prunes by density: fewer are as many as a person looks at."""


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
    """

    files: Sequence[InputFile]
    first: InputFile
    rows: pa.Table
    samples: int
    counted: bool
    columns: columns.Columns
    embeddings: dict[str, str]
    captions: Captions

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


def fitted(patterns: Sequence[str]) -> str:
    """The text of a job file for the files that ``patterns`` name.

    Raises:
        InputError, JobError: no such files, or none that is read.
    """
    look = _look(patterns)
    encoder, why = _encoder(look)
    lines = [*_head(look), "", *_input(look, patterns), f"output: runs/{_name(patterns)}", "steps:"]
    lines += [f"  {line}" for line in _steps(look, encoder, why)]
    return "\n".join(lines) + "\n"


def _look(patterns: Sequence[str]) -> Look:
    """A look at the files with as many captions a sample as most samples have.

    Raises:
        InputError, JobError: they cannot be read with any.
    """
    looks: list[Look] = []
    faults: list[InputError] = []
    for captions in get_args(Captions):
        if captions == "each":  # as `first` is here, and copies of pictures are what it makes
            continue
        try:
            look = _look_for(patterns, captions)
        except InputError as error:
            faults.append(error)
            continue
        without = look.rows.num_rows - look.rows["text"].null_count < look.rows.num_rows / 2
        if captions != "none" and not without:
            return look
        if captions != "none" or look.pictures:
            looks.append(look)
    if not looks:
        raise faults[0]
    return looks[-1] if looks[-1].captions == "none" else looks[0]


def _look_for(patterns: Sequence[str], captions: Captions) -> Look:
    files = input_files(Input(path=tuple(patterns), captions=captions))
    first, rows = _first_rows(files)
    samples = rows_of(files)
    estimate = sum(file.size for file in files) / max(1.0, first.size / max(1, rows.num_rows))
    if rows.num_rows >= SAMPLES:
        ends = [m["offset"] + m["size"] for row in rows["members"].to_pylist() for m in row or ()]
        estimate = sum(file.size for file in files) / max(1.0, max(ends, default=1) / rows.num_rows)
    return Look(
        files,
        first,
        rows,
        round(estimate) if samples is None else samples,
        samples is not None,
        format_of(first).columns(first),
        _embeddings(files),
        captions,
    )


def _first_rows(files: Sequence[InputFile]) -> tuple[InputFile, pa.Table]:
    fault: dict[str, Any] = {}
    for file in files[:FILES]:
        outline(file).accepted()
        for rows in islice(ingest_file(file, IngestOptions(part_samples=SAMPLES)), 1):
            if rows["reason"].null_count:
                return file, rows
            fault = fault or _most_frequent(rows)
    shown = storage.redact(files[0].path)
    if not fault:
        raise InputError(f"`{shown}` has no samples: name files that have some")
    raise InputError(
        f"no sample of `{shown}` can be used: {fault['reason']}: {fault['message']}{mend(files[0], fault['reason'])}"
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


def _encoder(look: Look) -> tuple[str | None, str]:
    """The encoder that can be had, and a word about it."""
    if look.embeddings:
        return "precomputed", "the embeddings beside the metadata"
    if not look.pictures:
        return None, ""
    if _is_cached():
        return CLIP, "its weights are on this machine"
    try:
        encoders.describe("demo")
    except ModelError:
        return CLIP, "600 MB are fetched at its first use"
    return "demo", f'small, knows clip art alone; for photographs "{CLIP}", 600 MB'


def _is_cached() -> bool:
    from huggingface_hub import try_to_load_from_cache

    return any(
        isinstance(try_to_load_from_cache(CLIP_REPOSITORY, name), str) for name in CLIP_FILES
    )


def _head(look: Look) -> Iterator[str]:
    about = "" if look.counted else "about "
    size = display.size(sum(file.size for file in look.files))
    yield f"# {counted(len(look.files), 'file')}, {size}, {about}{display.count(look.samples)} samples."
    taken = next((outline(file).taken for file in look.files if outline(file).taken), {})
    if taken:
        named = ", ".join(f"{name} is {column}" for name, column in sorted(taken.items()))
        yield f"# Columns: {display.plain(named)}."
    others = [name for name in look.columns if name not in taken.values()]
    if others:
        yield f"# Kept in the result beside them: {display.plain(', '.join(others[:20]))}."
    yield from (f"# {display.plain(note)}" for note in unread_pictures([look.first]))
    bad = Counter(look.rows["reason"].drop_null().to_pylist())
    if bad:
        count = look.rows.num_rows
        named = ", ".join(f"{reason} {number}" for reason, number in sorted(bad.items()))
        yield f"# Of the first {count}, {sum(bad.values())} cannot be used: {named}."
    yield "# `tamis init` without --input writes every setting, explained. Next: tamis plan, tamis run."


def _input(look: Look, patterns: Sequence[str]) -> Iterator[str]:
    name = _name(patterns)
    yield f"name: {name if yaml12.load(f'a: {name}') == {'a': name} else _quoted(name)}"
    yield "input:"
    listed = ", ".join(map(_quoted, patterns))
    yield f"  - path: {listed if len(patterns) == 1 else f'[{listed}]'}"
    yield from (
        f"    {key}: {value if key == 'features' else _quoted(value)}"
        for key, value in look.embeddings.items()
    )
    if look.captions != "one":
        yield f"    captions: {look.captions}  # {CAPTIONS[look.captions]}"
    if look.captions == "none":
        for name in (*_other_members(look), *_other_columns(look)):
            shown = display.plain(name)
            which = (
                "" if look.columns.get(name, columns.TEXT) else "; of a list say captions: first"
            )
            yield f"    # columns: {{text: {shown}}}  # instead, if {shown} is the caption{which}"


def _other_columns(look: Look) -> list[str]:
    """The columns, or keys of json, that may hold the captions: by their names, else those of text."""
    taken = {name.lower() for name in outline(look.first).taken.values()}
    names = {
        name: kind
        for name, kind in look.columns.items()
        if name.lower() not in taken | unread.PICTURE_PATHS and kind in (columns.TEXT, None)
    }
    likely = [name for name in names if any(word in name.lower() for word in CAPTION_WORDS)]
    return (likely or [name for name, kind in names.items() if kind is not None])[:SHOWN]


def _other_members(look: Look) -> list[str]:
    """The suffixes of members that most samples have, and that are neither pictures nor json."""
    if outline(look.first).taken:  # a table's rows
        return []
    rows = look.sound["members"].to_pylist()
    met = Counter(member["suffix"] for members in rows for member in members or ())
    known = {*PICTURES, META, CAPTION}
    return sorted(
        name for name, times in met.items() if times > len(rows) / 2 and name not in known
    )


def _quoted(text: str) -> str:
    """A text as YAML, whatever characters it has."""
    if text.isprintable():
        return f"'{text.replace(chr(39), chr(39) * 2)}'"
    escaped = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(escaped)}"'


def _name(patterns: Sequence[str]) -> str:
    """A job's name, of the last folder or file that is named; nothing of a login is in it."""
    shown = storage.redact(patterns[0]).replace("***@", "")
    plain = re.split(r"[*?\[{]", shown, maxsplit=1)[0].rstrip("/")
    parts = [part for part in plain.lower().split("/") if part.strip(".")]
    word = re.sub(r"[^a-z0-9_-]+", "-", parts[-1].partition(".")[0] if parts else "").strip("-_")
    return word[:40] or "job"


def _steps(look: Look, encoder: str | None, why: str) -> Iterator[str]:
    bounds = dict(_bounds(look))
    unsafe = find_column("punsafe", list(look.columns))
    if unsafe is not None and columns.is_number(look.columns[unsafe]):
        bounds[unsafe] = "{max: 0.5}"
    yield f"- signals: [{', '.join(bounds)}]"
    yield f"- rules: {{{', '.join(f'{name}: {bound}' for name, bound in bounds.items())}}}"
    yield f"- exact_duplicates: {{on: {'image' if look.pictures else 'url_text' if _has_url(look) else 'pair'}}}"
    agree = "phash" if look.pictures else "embedding" if encoder else "none"
    if look.captions == "none":
        agree, near = "phash", "- near_pictures"
    else:
        near = f"- near_duplicates: {{jaccard: 0.8, agree: {agree}}}"
    if agree != "embedding":
        yield near
    similarity = find_column("similarity", list(look.columns))
    if encoder:
        yield f"# {why}"
        yield f'- embed: {{encoder: "{encoder}"}}'
        if agree == "embedding":
            yield near
        if look.has_similarity(encoder):
            yield from _share("clip_similarity")
        yield "- semantic_duplicates: {clusters: auto, epsilon: 0.07}"
        number = kmeans.auto_clusters(look.samples)
        mark = "" if look.samples >= SMALL else "# "
        yield f"# Half of what is left, more of complex concepts than of simple ones; auto is {number} concepts here."
        yield f"{mark}- density: {{clusters: auto, keep: 0.5}}"
    elif similarity is not None and columns.is_number(look.columns[similarity]):
        yield from _share(similarity)
    yield "- write"


def _share(signal: str) -> Iterator[str]:
    yield "# A share, since what a similarity means depends on its encoder: the 5% whose caption fits least go."
    yield f"- score: {{name: similarity, signal: {signal}, keep: 0.95}}"


def _has_url(look: Look) -> bool:
    return bool(look.rows["url"].null_count < look.rows.num_rows)


def _bounds(look: Look) -> Iterator[tuple[str, str]]:
    """A bound for each signal of CANDIDATES that the samples have."""
    sound = look.sound
    for name, (end, tried) in CANDIDATES.items():
        if name == "words" and look.captions == "none":
            continue
        values = _values(name, sound)
        known = values[~np.isnan(values)]
        if not len(known):
            continue
        for bound in tried:
            passing = known >= bound if end == "min" else known <= bound
            if passing.mean() >= 1 - LOST:
                break
        missing = "" if len(known) == len(values) else ", missing: keep"
        yield name, f"{{{end}: {bound:g}{missing}}}"


def _values(name: str, rows: pa.Table) -> npt.NDArray[np.float64]:
    if name == "words":
        return caption_statistics.words(rows["text"].to_pylist()).astype(np.float64)
    width, height = (
        rows[side].cast(pa.float64()).to_numpy(zero_copy_only=False) for side in ("width", "height")
    )
    if name == "min_side":
        return np.asarray(np.fmin(width, height))
    return np.asarray(np.maximum(width, height) / np.minimum(width, height))
