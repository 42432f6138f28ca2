"""An entry of a job's ``input`` as files, each with its format and the embeddings that belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tamis.pipeline.inputs import picture_paths
from tamis.pipeline.inputs.folders import FOLDER, expanded
from tamis.pipeline.inputs.formats import format_named, outline
from tamis.pipeline.inputs.input_files import InputFile, Reading, resolve
from tamis.pipeline.inputs.twice import once
from tamis.pipeline.inputs.unread import ENDINGS, advice
from tamis.pipeline.store import storage
from tamis.pipeline.store.storage import redact
from tamis.schemas.errors import JobError
from tamis.schemas.formats import FORMATS, LEVELS, by_word
from tamis.schemas.job import Input


def input_files(entry: Input) -> list[InputFile]:
    """The files of one input entry, as ``listed`` gives them."""
    return listed(entry)[0]


def listed(entry: Input) -> tuple[list[InputFile], list[str]]:
    """The files of one input entry, by relative path, each with the embeddings that belong to it; and notes for people
    on what the patterns match besides.

    Raises:
        InputError: a pattern that matches nothing.
        JobError: a file of unknown format, or embeddings that do not pair with the files.
    """
    endings = {ending: name for name in FORMATS for ending in format_named(name).endings}
    reading = reading_of(entry)
    patterns, passed, left_out = expanded(
        entry.path,
        _levels(entry),
        lambda path: _why_no_list(path, endings, reading),
        [name.lower() for _, names in reading.columns for name in names],
    )
    listing = resolve(patterns, left_out)
    images = _paired(entry, entry.image_embeddings, len(listing.files))
    texts = _paired(entry, entry.text_embeddings, len(listing.files))
    count = len(listing.files)
    others = [
        (name, _paired(entry, given.image, count), _paired(entry, given.text, count))
        for name, given in entry.embeddings.items()
    ]
    files = []
    kinds = _kinds(entry, [file.path for file in listing.files], endings)
    for number, file in enumerate(listing.files):
        kind, image, text = kinds[number], images[number], texts[number]
        if entry.features:
            if format_named(kind).values_in_table:
                raise JobError(
                    f"input `{entry.name}`: {redact(file.path)}: `features: true` is for parquet, beside which an .npz "
                    "of embeddings lies: leave it out, or name the metadata"
                )
            stem = _stem(file.path, kind)
            image, text = f"{stem}.npz#{entry.image_feature}", f"{stem}.npz#{entry.text_feature}"
        files.append(
            InputFile(
                entry.name,
                file.relative,
                file.path,
                kind,
                file.size,
                file.stamp,
                image,
                text,
                tuple((name, str(i[number]), t[number]) for name, i, t in others),
                own_uids=entry.columns.get("uid") != ("none",),
                reading=reading,
                touched=file.touched,
            )
        )
    files, doubled = once(files)
    notes = [f"input `{entry.name}`: {note}" for note in [*listing.notes(), *passed, *doubled]]
    return files, notes


def _levels(entry: Input) -> list[list[str]]:
    """The endings of files that a directory may stand for, those that are preferred first."""
    names = list(FORMATS) if entry.format == "auto" else [by_word()[entry.format]]
    levels = sorted({LEVELS.get(name, 0) for name in names})
    return [
        [e for name in names if LEVELS.get(name, 0) == level for e in format_named(name).endings]
        for level in levels
    ]


def _why_no_list(path: str, endings: Mapping[str, str], reading: Reading) -> str | None:
    """The reason why a file is no list of pictures; None where it is one."""
    kind = next(name for ending, name in endings.items() if path.lower().endswith(ending))
    file = InputFile("", path, path, kind, storage.stat(path).size, reading=reading)
    found = outline(file)
    if found.pictures is True:
        return None
    if found.pictures is None and (found.damage or found.refused):
        return (found.damage or found.refused or "").removeprefix(f"`{redact(path)}`: ")
    known = format_named(kind).columns(file)
    if not format_named(kind).values_in_table and picture_paths.among(known):
        return None  # as `init` finds out, the job has to say so
    named = ", ".join(known)
    return f"no column of it is known to name pictures: it has {named or 'none'}"


def reading_of(entry: Input) -> Reading:
    """The job's settings for reading an entry's samples.

    Raises:
        JobError: it says two things that do not go together.
    """
    if entry.captions == "each" and entry.precomputed:
        raise JobError(
            f"input `{entry.name}`: `captions: each` makes several samples of a row, and embeddings have one: say "
            "`captions: first`"
        )
    none = ("none",)  # uids are no column's then: ``own_uids``
    columns = {
        name: () if names == none else names
        for name, names in entry.columns.items()
        if name != "uid" or names != none
    }
    return Reading(tuple(sorted(columns.items())), entry.captions)


def _paired(entry: Input, pattern: str | None, count: int) -> Sequence[str | None]:
    if pattern is None:
        return [None] * count
    files, mark, member = pattern.rpartition("#")
    if not files.endswith(".npz"):  # a mark of the path itself
        files, mark, member = pattern, "", ""
    paths = [f"{file.path}{mark}{member}" for file in resolve([files]).files]
    if len(paths) != count:
        raise JobError(
            f"input `{entry.name}`: {len(paths)} embedding files for {count} input files: they must pair one to one"
        )
    return paths


def _kinds(entry: Input, paths: Sequence[str], endings: Mapping[str, str]) -> list[str]:
    """The name of each file's format: the entry's, or that of the path's ending."""
    if entry.format != "auto":
        _check_folders(entry, paths)
        return [by_word()[entry.format]] * len(paths)
    kinds = []
    for path in paths:
        kind = _kind(path, endings)
        if kind is None:
            raise _unknown(entry, path, paths, endings)
        kinds.append(kind)
    return kinds


def _check_folders(entry: Input, paths: Sequence[str]) -> None:
    """Refuse a file where the job says that it is a directory of pictures."""
    single = next((path for path in paths if not path.endswith(FOLDER)), None)
    if FOLDER in format_named(by_word()[entry.format]).endings and single is not None:
        raise JobError(
            f"input `{entry.name}`: {redact(single)}: `format: {entry.format}` is for directories of pictures: name "
            "the one that it lies in, or leave the format out"
        )


def _kind(path: str, endings: Mapping[str, str]) -> str | None:
    bare = path.lower()
    if bare.startswith(("http://", "https://")):
        bare = bare.partition("?")[0]
    lone = bare.endswith(".json") and advice(path) is not None  # one object, no rows
    return next((k for ending, k in endings.items() if bare.endswith(ending) and not lone), None)


def _unknown(entry: Input, path: str, paths: Sequence[str], endings: Mapping[str, str]) -> JobError:
    """The error of a file of no known format. What lies beside pictures belongs to them: their folder is the mend."""
    shown = next((p for p in paths if p.lower().endswith(ENDINGS)), path)
    mend = advice(shown)
    if mend is None:
        mends = " or ".join(f"`format: {known}`" for known in by_word())
        mend = f"neither {' nor '.join(_shown(endings))}: say {mends}"
    return JobError(f"input `{entry.name}`: {redact(shown)}: {mend}")


def _shown(endings: Iterable[str]) -> list[str]:
    return ["a folder of pictures" if ending == "/" else ending for ending in endings]


def _stem(path: str, kind: str) -> str:
    for ending in format_named(kind).endings:
        if path.lower().endswith(ending):
            return path[: -len(ending)]
    return path
