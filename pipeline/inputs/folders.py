"""A directory in the place of files: all below it whose endings are read, or the pictures in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice

from tamis.pipeline.inputs import beside_pictures
from tamis.pipeline.inputs.beside_pictures import named_after
from tamis.pipeline.inputs.suffixes import ANY_PICTURE
from tamis.pipeline.inputs.unread import advice, check_no_delta
from tamis.pipeline.store import matching, storage
from tamis.schemas.errors import InputError

LOOKED_AT = 10_000
"""Files below a directory that are looked at to see which endings there are."""

LISTS = 10
"""Files that are asked whether they are lists of pictures."""

FOLDER = "/"
"""The ending of a directory whose pictures are read."""

JSON, TAR, TEXT = ".json", ".tar", ".txt"

NAMED = 5
"""Endings that a message names."""


def expanded(
    patterns: Sequence[str],
    levels: Sequence[Sequence[str]],
    why_no_list: Callable[[str], str | None],
) -> tuple[list[str], list[str]]:
    """The patterns, a directory replaced by the patterns of what is read of it; and notes on what is passed over.

    Args:
        patterns: of one entry.
        levels: endings of files by how much they are preferred; FOLDER for the pictures of a directory.
        why_no_list: why a file is no list of pictures, or None where it is: then they are not taken for themselves.

    Raises:
        InputError: a directory has nothing that is read; the message says what it has.
    """
    made: list[str] = []
    notes: list[str] = []
    for pattern in patterns:
        if is_folder(pattern):
            found, passed = _of_folder(pattern, levels, why_no_list)
            made, notes = made + found, notes + passed
        else:
            made.append(pattern)
    return made, notes


def is_folder(pattern: str) -> bool:
    """Whether a path without globs is a directory."""
    if pattern.startswith(("http://", "https://")) or any(mark in pattern for mark in "*?[{"):
        return False
    return storage.is_folder(pattern)


def _of_folder(
    folder: str, levels: Sequence[Sequence[str]], why_no_list: Callable[[str], str | None]
) -> tuple[list[str], list[str]]:
    base = folder.rstrip("/") or "/"
    paths = [path for path, _ in zip(_below(base), range(LOOKED_AT), strict=False)]
    check_no_delta(paths, base)
    met = Counter(map(_ending, paths))
    pictures = any(met[f".{ending}"] for ending in ANY_PICTURE)
    tables = _json_tables(paths)
    notes = [
        *islice(_passed_over(paths, tables), NAMED),
        *islice(beside_pictures.apart(paths), NAMED),
    ]
    for number, level in enumerate(levels):
        if FOLDER in level and pictures:
            return [f"{base}/"], notes
        found = _without_sidecars(paths, [e for e in level if met[e] and e != JSON])
        json = [path for path in tables if JSON in level and advice(path) is None]
        if found and (not pictures or (number == 0 and TAR in found) or len(levels) == 1):
            others = {e for further in levels[number + 1 :] for e in further} - {JSON}
            passed = list(_others(paths, others)) if len(levels) > 1 else []
            return _patterns(base, paths, found), passed
        if json and not pictures:
            return json, []
        lists = [path for path in paths if _ending(path) in found][:LISTS]
        whys = {path: why_no_list(path) for path in [*lists, *json]}
        if any(whys[path] is None for path in lists):
            return _patterns(base, paths, found), []
        named = [path for path in json if whys[path] is None]
        if named:
            return named, []
        notes = [
            f"{storage.redact(path)} lies there too and is not read: {why}"
            for path, why in whys.items()
        ] + notes
    raise _nothing(folder, paths, met, [ending for level in levels for ending in level])


def _others(paths: Sequence[str], endings: Collection[str]) -> Iterator[str]:
    """A note on the pictures and lists that lie beside files which count before them."""
    met = Counter(e for e in map(_ending, paths) if e in endings or e[1:] in ANY_PICTURE)
    if met:
        named = ", ".join(f"{count:,} {ending}" for ending, count in met.most_common(NAMED))
        yield f"{named} lie there too and are not read: name them, or their folder, if they are the input"


def _without_sidecars(paths: Sequence[str], endings: Sequence[str]) -> list[str]:
    """The endings without those of which each file lies beside a tar of its name: that is the tar's own metadata."""
    stems = {path[: -len(TAR)] for path in paths if _ending(path) == TAR}
    return [
        ending
        for ending in endings
        if ending == TAR
        or not all(path[: -len(ending)] in stems for path in paths if _ending(path) == ending)
    ]


def _json_tables(paths: Sequence[str]) -> list[str]:
    """The first `.json` files that lie beside no picture of their name."""
    return list(islice(_alone(paths, JSON), LISTS))


def _alone(paths: Sequence[str], ending: str) -> Iterator[str]:
    """The files with an ending that lie beside no picture of their name."""
    pictures = {path for path in paths if _ending(path).removeprefix(".") in ANY_PICTURE}
    stems = {path[: len(path) - len(_ending(path)) + 1] for path in pictures}
    for path in paths:
        beside = path[: 1 - len(ending)] in stems or named_after(path, pictures) is not None
        if _ending(path) == ending and not beside:
            yield path


def _passed_over(paths: Sequence[str], tables: Sequence[str]) -> Iterator[str]:
    """A note for each file that is not read, and for which there is advice."""
    texts = list(islice(_alone(paths, TEXT), LISTS))
    for path in paths:
        ending = _ending(path)
        if ending.removeprefix(".") in ANY_PICTURE:
            continue
        if (ending == JSON and path not in tables) or (ending == TEXT and path not in texts):
            continue
        told = advice(path)
        if told is not None:
            yield f"{storage.redact(path)} lies there too and is not read: {told}"


def _patterns(base: str, paths: Sequence[str], endings: Sequence[str]) -> list[str]:
    """The patterns of files with these endings, in the letter cases in which they are met."""
    met = {path[len(path) - len(_ending(path)) :] for path in paths if _ending(path) in endings}
    return [f"{base}/**/*{ending}" for ending in sorted(met)]


def _nothing(
    folder: str, paths: Sequence[str], met: Counter[str], endings: Sequence[str]
) -> InputError:
    shown = storage.redact(folder)
    known = " or ".join("pictures" if ending == FOLDER else ending for ending in endings)
    if not met:
        return InputError(f"`{shown}`: a directory without files: name one that has {known}")
    named = ", ".join(
        f"{count:,} {ending or 'without ending'}" for ending, count in met.most_common(NAMED)
    )
    # A `.json` last: it lies beside tables of other kinds too, and says what is in them.
    order = sorted(met, key=lambda ending: (ending == JSON, -met[ending]))
    firsts = (next(path for path in paths if _ending(path) == ending) for ending in order[:NAMED])
    mend = next(filter(None, map(advice, firsts)), None) or f"name one that has {known}"
    return InputError(f"`{shown}`: a directory of {named}: {mend}")


def picture_folders(folder: str, prefix: str) -> list[storage.File]:
    """The directories with pictures, ``folder`` and those below it, each as a file; their names end in ``/``."""
    found = []
    for one in matching.folders(storage.absolute(folder)):
        files = storage.files_in(one)
        if not any(_ending(file.path).removeprefix(".") in ANY_PICTURE for file in files):
            continue
        below = "." if one == prefix else storage.relative(one, prefix)
        size = sum(file.size for file in files)
        stamp = _digest(f"{file.relative}\0{file.size}\0{file.stamp}\0" for file in files)
        touched = ""
        if storage.is_local(one):
            last = max(int(file.touched.partition(" ")[0]) for file in files)
            touched = f"{last} {_digest(file.touched for file in files)}"
        found.append(storage.File(f"{one}/", f"{below}/", size, stamp, touched))
    return found


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(text.encode("utf-8", "replace"))
    return digest.hexdigest()


def _ending(path: str) -> str:
    name = path.rpartition("/")[2].lower()
    dot = name.rfind(".tar.") if ".tar." in name else name.rfind(".")
    return name[dot:] if dot > 0 else ""


def _below(folder: str) -> Iterator[str]:
    """The files below a directory, one directory after another; hidden ones are left out."""
    for one in matching.folders(folder):
        yield from (file.path for file in storage.files_in(one))
