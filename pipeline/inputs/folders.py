"""A directory in the place of files: all below it whose endings are read, or the pictures in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from tamis.pipeline.inputs import beside_pictures
from tamis.pipeline.inputs.passed_over import (
    ASKED,
    JSON,
    NAMED,
    TAR,
    TEXT,
    PassedOver,
    alone,
    ending_of,
    is_picture,
)
from tamis.pipeline.inputs.suffixes import ANY_PICTURE, CAPTION, META
from tamis.pipeline.inputs.unread import advice, check_no_delta
from tamis.pipeline.store import matching, storage
from tamis.schemas.errors import InputError

FOLDER = "/"
"""The ending of a directory whose pictures are read."""

SHARDS = "shards"
"""The folder of a run with its result."""


def expanded(
    patterns: Sequence[str],
    levels: Sequence[Sequence[str]],
    why_no_list: Callable[[str], str | None],
    own: Collection[str] = (),
) -> tuple[list[str], list[str], dict[str, str]]:
    """The patterns, a directory replaced by the patterns of what is read of it; notes on what is passed over; and what
    in it is no file that can be read, each with why.

    Args:
        patterns: of one entry.
        levels: endings of files by how much they are preferred; FOLDER for the pictures of a directory.
        why_no_list: why a file is no list of pictures, or None where it is: then they are not taken for themselves.
        own: endings, without their dot, of files that the job reads beside pictures.

    Raises:
        InputError: a directory has nothing that is read, and the message says what it has; or it is a run.
    """
    made: list[str] = []
    notes: list[str] = []
    left_out: dict[str, str] = {}
    for pattern in patterns:
        if is_folder(pattern):
            below = _below(pattern)
            found, passed = _of_folder(below, levels, why_no_list, own)
            made, notes, left_out = made + found, notes + passed, left_out | {**below.left_out}
        else:
            made.append(pattern)
    return made, notes, left_out


def is_folder(pattern: str) -> bool:
    """Whether a path without globs is a directory."""
    if pattern.startswith(("http://", "https://")) or any(mark in pattern for mark in "*?[{"):
        return False
    return storage.is_folder(pattern)


@dataclass(frozen=True)
class _Below:
    """The files below a directory, all of them: only what is opened is bounded."""

    folder: str
    base: str
    paths: Sequence[str]
    left_out: Mapping[str, str]  # path -> why nothing is read of it

    @cached_property
    def by_ending(self) -> dict[str, list[str]]:
        """Ending -> the files that have it."""
        found: dict[str, list[str]] = {}
        for path in self.paths:
            found.setdefault(ending_of(path), []).append(path)
        return found

    @cached_property
    def tables(self) -> list[str]:
        """The `.json` files that hold rows: none where the first few hold none."""
        lone = list(alone(self.paths, JSON))
        first = [path for path in lone[:ASKED] if advice(path) is None]
        return first + [path for path in lone[ASKED:] if first and advice(path) is None]

    def passed(self, read: Collection[str], **more: Any) -> list[str]:
        """Notes on what is not read; ``read`` are the files that are, ``more`` as PassedOver has it."""
        return list(PassedOver(self.paths, read, **more).notes())

    def of_pictures(self, own: Collection[str] = ()) -> list[str]:
        """The pictures, and the texts beside them; ``own`` are endings of further ones that the job names."""
        texts = {f".{ending}" for ending in (CAPTION, META, *own)}
        pictures = [ending for ending in self.by_ending if ending[1:] in ANY_PICTURE]
        lone = {*alone(self.paths, JSON), *alone(self.paths, TEXT)}
        return self.having(pictures) + [p for p in self.having(texts) if p not in lone]

    def having(self, endings: Collection[str]) -> list[str]:
        """The files with these endings."""
        return [path for ending in endings for path in self.by_ending.get(ending, ())]


def _below(folder: str) -> _Below:
    base = folder.rstrip("/") or "/"
    if storage.is_local(base) and storage.absolute(base) == "/":
        raise InputError(
            f"`{folder}` is all of this machine: a variable of the shell that is not set? Name a directory in it"
        )
    _check_no_run(base)
    paths: list[str] = []
    left_out: dict[str, str] = {}
    for one in matching.walk(base):
        paths += [file.path for file in one.files]
        left_out |= {storage.absolute(path): why for path, why in one.left_out}
    check_no_delta(paths, base)
    return _Below(folder, base, paths, left_out)


def _check_no_run(folder: str) -> None:
    """Refuse the directory of a run, whose tables are no data of a person's."""
    if not matching.is_run(folder):
        return
    shards = storage.join(folder, SHARDS)
    endings = {ending_of(file.path) for file in storage.files_in(shards)}
    mend = " or ".join(
        f"`{storage.redact(shards)}/*{e}`" for e in (TAR, ".parquet") if e in endings
    )
    raise InputError(
        f"`{storage.redact(folder)}` is the directory of a run, with its tables and ledger: name "
        f"{mend or 'the files in it that are the input'}"
    )


def _of_folder(
    below: _Below,
    levels: Sequence[Sequence[str]],
    why_no_list: Callable[[str], str | None],
    own: Collection[str],
) -> tuple[list[str], list[str]]:
    pictures = any(ending[1:] in ANY_PICTURE for ending in below.by_ending)
    whys: dict[str, str] = {}
    for number, level in enumerate(levels):
        if FOLDER in level and pictures:
            return [f"{below.base}/"], _beside_pictures(below, whys, own)
        named = [ending for ending in level if ending in below.by_ending and ending != JSON]
        found = _without_sidecars(below, named)
        json = below.tables if JSON in level else []
        if found and (not pictures or (number == 0 and TAR in found) or len(levels) == 1):
            further = {e for later in levels[number + 1 :] for e in later} - {JSON, FOLDER}
            more = {"inputs": further | ({JSON} if json else set()), "unasked": (JSON, TEXT)}
            return _patterns(below, found), below.passed(below.having(found), **more)
        if json and not pictures:
            return json, below.passed(json)
        told = {path: why_no_list(path) for path in [*_first(below, found), *json]}
        whys |= {path: why for path, why in told.items() if why is not None}
        if None in told.values():
            return _of_lists(below, found, told, whys)
    raise _nothing(below, [ending for level in levels for ending in level])


def _of_lists(
    below: _Below,
    endings: Sequence[str],
    told: Mapping[str, str | None],
    whys: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """What is read where some of the files that were asked are lists of pictures: all of the endings that lists have,
    else the `.json` files that are lists.
    """
    lists = [path for path, why in told.items() if why is None]
    chosen = [ending for ending in endings if any(ending_of(path) == ending for path in lists)]
    read = {*(below.having(chosen) if chosen else lists)}
    beside = {path: why for path, why in whys.items() if path not in read}
    notes = below.passed([*read, *below.of_pictures()], whys=beside)
    return _patterns(below, chosen) if chosen else sorted(read), notes


def _beside_pictures(below: _Below, whys: Mapping[str, str], own: Collection[str]) -> list[str]:
    """Notes on what is not read where pictures are, and on captions that lie where nobody looks for them."""
    texts = {f".{ending}" for ending in (CAPTION, META, *own)}
    read = below.of_pictures(own)
    passed = PassedOver(below.paths, read, whys, of_samples=texts)
    return [*passed.notes(), *islice(beside_pictures.apart(below.paths), NAMED)]


def _first(below: _Below, endings: Collection[str]) -> list[str]:
    """The first files of each ending."""
    return [path for e in endings for path in below.having((e,))[:ASKED]]


def _without_sidecars(below: _Below, endings: Sequence[str]) -> list[str]:
    """The endings without those of which each file lies beside a tar of its name: that is the tar's own metadata."""
    stems = {path[: -len(TAR)] for path in below.having((TAR,))}
    return [
        ending
        for ending in endings
        if ending == TAR
        or not all(path[: -len(ending)] in stems for path in below.having((ending,)))
    ]


def _patterns(below: _Below, endings: Collection[str]) -> list[str]:
    """The patterns of files with these endings, in the letter cases in which they are met."""
    met = {path[len(path) - len(ending_of(path)) :] for path in below.having(endings)}
    return [f"{below.base}/**/*{ending}" for ending in sorted(met)]


def _nothing(below: _Below, endings: Sequence[str]) -> InputError:
    shown = storage.redact(below.folder)
    known = " or ".join("pictures" if ending == FOLDER else ending for ending in endings)
    lost = next(iter(below.left_out.items()), None)
    beside = "" if lost is None else f", but {storage.redact(lost[0])}, which is {lost[1]}"
    if not below.paths:
        mend = beside or f": name one that has {known}"
        return InputError(f"`{shown}`: a directory without files{mend}")
    met = {ending: len(files) for ending, files in below.by_ending.items()}
    most = sorted(met, key=lambda ending: -met[ending])
    named = ", ".join(f"{met[ending]:,} {ending or 'without ending'}" for ending in most[:NAMED])
    # A `.json` last: it lies beside tables of other kinds too, and says what is in them.
    order = sorted(most, key=lambda ending: ending == JSON)
    firsts = (below.having((ending,))[0] for ending in order[:NAMED])
    mend = next(filter(None, map(advice, firsts)), None) or f"name one that has {known}"
    return InputError(f"`{shown}`: a directory of {named}{beside}: {mend}")


def picture_folders(folder: str, prefix: str) -> matching.Matches:
    """The directories with pictures, ``folder`` and those below it, each as a file; their names end in ``/``. And what
    lies in them, or between them, that is no file.
    """
    found: list[storage.File] = []
    left_out: list[tuple[str, str]] = []
    for one in matching.walk(storage.absolute(folder)):
        left_out += one.left_out
        if any(is_picture(file.path) for file in one.files):
            found.append(_as_file(one, prefix))
    return matching.Matches(tuple(found), tuple(left_out))


def _as_file(folder: matching.Folder, prefix: str) -> storage.File:
    """A directory with all its files, as one."""
    below = "." if folder.path == prefix else storage.relative(folder.path, prefix)
    size = sum(file.size for file in folder.files)
    stamp = _digest(f"{file.relative}\0{file.size}\0{file.stamp}\0" for file in folder.files)
    touched = ""
    if storage.is_local(folder.path):
        last = max(int(file.touched.partition(" ")[0]) for file in folder.files)
        touched = f"{last} {_digest(file.touched for file in folder.files)}"
    return storage.File(f"{folder.path}/", f"{below}/", size, stamp, touched)


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(text.encode("utf-8", "replace"))
    return digest.hexdigest()
