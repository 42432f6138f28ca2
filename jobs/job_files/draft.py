"""The job that fits some files: what `tamis init --input` writes after a look at them.

Bounds are the strictest of a few common ones that the first samples pass; a share stands where a bound would depend on
the encoder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.jobs.job_files import first_look
from tamis.jobs.job_files.first_look import Look
from tamis.jobs.terminal import display
from tamis.pipeline import encoders
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.inputs import columns
from tamis.pipeline.inputs.caption_names import likely
from tamis.pipeline.inputs.formats import format_of, outline
from tamis.pipeline.inputs.inner_fields import DOT
from tamis.pipeline.inputs.suffixes import (
    CAPTION,
    META,
    NAMES,
    OTHER_PICTURES,
    PICTURES,
    RAW_PICTURES,
)
from tamis.pipeline.planning.preview import unread_pictures
from tamis.pipeline.signals import caption_statistics
from tamis.pipeline.store import storage
from tamis.schemas import yaml12
from tamis.schemas.errors import ModelError
from tamis.schemas.tables import find_column

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

TURNS, SAID = ("convers", "messag"), ("value", "content")
"""Pieces of the names of conversations, and the fields of each turn that hold what is said: the second turn answers."""

SHOWN = 5
"""Columns that are named as possible captions."""

CAPTIONS = {
    "first": "of each list the first; each: a sample for every caption, then exact_duplicates: {on: pair}",
    "none": "most pictures come without",
}
"""Of an input's ``captions`` -> what the fitted job says of it."""

GUESSED = ("url", "width", "height", "key")
"""What a fitted job takes from columns with names that only look so."""

SAFE = frozenset(("UNLIKELY", "UNSURE", "NSFW"))
"""LAION's words for how likely a picture is unsafe, the likeliest safe ones first."""

SMALL = 400
"""Samples from which the fitted job prunes by density: fewer are as many as a person looks at."""


def fitted(patterns: Sequence[str]) -> str:
    """The text of a job file for the files that ``patterns`` name.

    Raises:
        InputError, JobError: no such files, or none that is read.
    """
    look = first_look.look(patterns)
    encoder, why = _encoder(look)
    lines = [*_head(look), "", *_input(look, patterns), f"output: runs/{_name(patterns)}", "steps:"]
    lines += [f"  {line}" for line in _steps(look, encoder, why)]
    return "\n".join(lines) + "\n"


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
    yield f"# {counted(len(look.files), 'file')}, {size}, {about}{counted(look.samples, 'sample')}."
    taken = next((outline(file).taken for file in look.files if outline(file).taken), {})
    if taken:
        named = ", ".join(f"{name} is {column}" for name, column in sorted(taken.items()))
        yield f"# Columns: {display.plain(named)}."
    held = {
        *taken.values(),
        *(name.partition(DOT)[0] for name in taken.values() if name[-1:].isdecimal()),
    }
    others = [name for name in columns.whole(look.columns) if name not in held]
    if others:
        yield f"# Kept in the result beside them: {display.plain(', '.join(others[:20]))}."
    texts = [name for name in likely(others) if look.columns[name] == columns.TEXT]
    if texts and "text" in taken and look.caption is None:
        yield f"# May hold captions too: {display.plain(', '.join(texts[:SHOWN]))}."
    yield from (f"# {display.plain(note)}" for note in unread_pictures([look.first]))
    yield from (f"# {display.plain(note)}" for note in look.notes)
    bad = Counter(look.rows["reason"].drop_null().to_pylist())
    if bad:
        count = look.rows.num_rows
        named = ", ".join(f"{reason} {number}" for reason, number in sorted(bad.items()))
        yield f"# Of the first {count}, {sum(bad.values())} cannot be used: {named}."
    mend = format_of(look.first).mend(look.first, look.rows)
    if mend is not None:
        yield f"# {display.plain(mend)}"
    yield "# `tamis init` without --input writes every setting, explained. Next: tamis plan, tamis run."


def _input(look: Look, patterns: Sequence[str]) -> Iterator[str]:
    yield f"name: {yaml12.flow(_name(patterns))}"
    yield "input:"
    listed = ", ".join(map(yaml12.quoted, patterns))
    yield f"  - path: {listed if len(patterns) == 1 else f'[{listed}]'}"
    yield from (
        f"    {key}: {value if key == 'features' else yaml12.quoted(value)}"
        for key, value in look.embeddings.items()
    )
    if look.named:
        told = display.plain("; ".join(_guessed(look)))
        yield f"    columns: {yaml12.flow(dict(look.named))}{told and f'  # {told}'}"
    if look.captions != "one":
        yield f"    captions: {look.captions}  # {CAPTIONS[look.captions]}"
    if look.captions == "none":
        for name in (*_other_members(look), *_other_columns(look)):
            shown, several = yaml12.flow(name), first_look.captions_in(look, patterns, name)
            if several is None:
                continue
            which = "" if several == "one" else "; of a list say captions: first"
            instead = yaml12.flow({**look.named, "text": name})
            yield f"    # columns: {instead}  # instead, if {shown} is the caption{which}"


def _guessed(look: Look) -> Iterator[str]:
    """A word about the columns that the job names."""
    if look.caption is not None:
        yield "a guess by its name"
        others = [name for name in _other_columns(look) if name != look.caption]
        if others:
            yield f"instead may do: {', '.join(others)}"
    rest = [name for name in look.named if name in GUESSED]
    if rest:
        yield f"{', '.join(rest)} by {'their names' if len(rest) > 1 else 'its name'}"
    if "uid" in look.named:
        yield "what the column uid has are none: they are made"


def _other_columns(look: Look) -> list[str]:
    """The columns, or keys of json, that may hold the captions: by their names, else those of text."""
    taken = {name.lower() for name in outline(look.first).taken.values()}
    names = {
        name: kind
        for name, kind in look.columns.items()
        if name.lower() not in taken | set(NAMES) and kind in (columns.TEXT, None)
    }
    found = likely(names) or [name for name, kind in names.items() if kind is not None]
    return [*dict.fromkeys(filter(None, map(_way, found)))][:SHOWN]


def _way(name: str) -> str | None:
    """The way to a caption in a column or field: of a conversation to the second turn; None where there is none."""
    column, _, field = name.rpartition(DOT)
    if name.startswith("__"):
        return None
    if any(word in name.lower() for word in TURNS) and column:
        return f"{column}.1.{field}" if field in SAID else None
    return name


def _other_members(look: Look) -> list[str]:
    """The suffixes of members that most samples have, and that are neither pictures nor json."""
    if outline(look.first).taken:  # a table's rows
        return []
    if look.first.path.endswith(
        "/"
    ):  # of a folder's files only those are read that have known endings
        return _other_files(look)
    rows = look.sound["members"].to_pylist()
    met = Counter(member["suffix"] for members in rows for member in members or ())
    known = {*PICTURES, META, CAPTION}
    return sorted(
        name for name, times in met.items() if times > len(rows) / 2 and name not in known
    )


def _other_files(look: Look) -> list[str]:
    """The endings of files that share their names with most pictures of a folder."""
    names = [file.relative.rpartition(".") for file in storage.files_in(look.first.path)]
    keys = set(look.sound["key"].to_pylist())
    met = Counter(ending.lower() for stem, _, ending in names if stem in keys)
    known = {*PICTURES, *OTHER_PICTURES, *RAW_PICTURES, META, CAPTION}
    return sorted(n for n, times in met.items() if times > len(keys) / 2 and n not in known)


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
    elif (word := _safety(look)) is not None:
        bounds[word] = "{in: [UNLIKELY]}"
    similarity = find_column("similarity", list(look.columns))
    if encoder or similarity is None or not columns.is_number(look.columns[similarity]):
        similarity = None
    yield f"- signals: [{', '.join([*bounds, *([similarity] if similarity else [])])}]"
    yield f"- rules: {{{', '.join(f'{name}: {bound}' for name, bound in bounds.items())}}}"
    yield f"- exact_duplicates: {{on: {'image' if look.pictures else 'url_text' if _has_url(look) else 'pair'}}}"
    agree = "phash" if look.pictures else "embedding" if encoder else "none"
    if look.captions == "none":
        agree, near = "phash", "- near_pictures"
    else:
        near = f"- near_duplicates: {{jaccard: 0.8, agree: {agree}}}"
    if agree != "embedding":
        yield near
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
    elif similarity is not None:
        yield from _share(similarity)
    yield "- write"


def _safety(look: Look) -> str | None:
    """The column that says in LAION's words whether a picture is safe."""
    name = find_column("nsfw", list(look.columns))
    if name is None or look.columns[name] != columns.TEXT:
        return None
    wanted = {name: columns.TEXT}
    words = set(format_of(look.first).values(look.first, look.rows, wanted)[name].to_pylist())
    return name if words - {None} and words <= SAFE | {None} else None


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
