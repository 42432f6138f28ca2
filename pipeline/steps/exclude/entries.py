"""Lists of what is to be left out, as sorted tables of keys or of perceptual hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash

from tamis.pipeline.algorithms.exclusion import addresses, members
from tamis.pipeline.algorithms.near_captions import folding
from tamis.pipeline.inputs.input_files import resolve
from tamis.pipeline.inputs.part_builder import hash_file
from tamis.pipeline.inputs.uids import parse_uid
from tamis.pipeline.steps.exclude import run_entries
from tamis.pipeline.steps.exclude.config import MOST_ENTRIES, MOST_HASHES, Exclude, On
from tamis.pipeline.steps.shared import cell_tables, text_lines
from tamis.pipeline.steps.shared.other_runs import unchanged
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import byte_rows, uid_words
from tamis.pipeline.tasks.task import location
from tamis.schemas.errors import InputError, StateError, TamisError
from tamis.schemas.layout import MANIFEST
from tamis.schemas.tables import PICTURE_LAYOUT, UID, find_column

BATCH = 10_000
"""Entries that are read at once."""

SHOWN_DIGITS = 16
"""Of a sha256, in the ledger, where a list has no other name."""

USUAL = {"caption": "text"}
"""What is compared -> the name by which its column is known, where that is another."""

KEYS = pa.schema([("key", UID), ("uid", UID)])
"""A list of keys: xxh3-128 of a text, a uid, or the first half of a sha256; and the entry's uid, if it has one."""

HASHES = pa.schema(
    [
        ("phash", pa.uint64()),
        ("layout", PICTURE_LAYOUT),
        ("pixels", pa.binary(16)),
        ("uid", UID),
        ("sid", pa.int64()),
    ]
)
"""A list of pictures; layout, hash of the pixels, and sid in the run that is the list are null in other lists."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Arguments of a task that reads a list."""

    sha256: str
    on: On
    column: str | None  # of parquet, or of a run's ledger
    reveal: bool
    shown: str = location()  # the list's name in messages
    path: str = location()


class Entry(NamedTuple):
    """An entry as it stands in the list, the place where it stands, and the uid beside it."""

    value: Any
    place: str
    uid: Any = None


def text_key(text: str) -> bytes:
    """16 bytes of a text that is compared as a whole."""
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))


def name_of(path: str) -> str:
    """The list's name in the ledger: the last of its path."""
    return storage.redact(path).rstrip("/").rpartition("/")[2]


def rule_of(config: Exclude, sha256: str) -> str:
    """The list's name in the ledger, or what stands for it."""
    return name_of(config.path) if config.reveal else f"sha256 {sha256[:SHOWN_DIGITS]}"


@contextmanager
def unnamed(path: str, shown: str, reveal: bool) -> Iterator[None]:
    """Context in which no error says where a list lies that is not to be revealed; ``shown``: what stands for it."""
    try:
        yield
    except TamisError as error:
        if reveal or name_of(path) not in str(error):
            raise
        raise type(error)(
            f"{shown} is not there, or is no list: see where the job says it lies"
        ) from None


def files_of(path: str, on: On) -> list[str]:
    """The files of a list that is no run.

    Raises:
        InputError: there is none, or it is a folder of another form.
    """
    if not storage.is_folder(path):
        return [file.path for file in resolve([path]).files]
    name = {"domain": "domains", "url": "urls"}.get(on, "")
    folders = [path, *(storage.join(path, below) for below in storage.folders_in(path))]
    found = [storage.join(folder, name) for folder in folders] if name else []
    found = [storage.absolute(file) for file in found if storage.is_file(file)]
    if not found:
        form = f"a file `{name}`, as UT1's have" if name else "a list of that"
        raise InputError(
            f"`{storage.redact(path)}` is a folder without manifest.json, so no finished run, and without {form}: "
            "name the list's file"
        )
    return found


def digest(path: str, on: On) -> str:
    """The identity of a list: the sha256 of its file, of a run's manifest, or of the digests of several files."""
    if run_entries.is_run(path):
        return hash_file(storage.join(path, MANIFEST))[1].hex()
    digests = [hash_file(file)[1] for file in files_of(path, on)]
    return digests[0].hex() if len(digests) == 1 else hashlib.sha256(b"".join(digests)).hexdigest()


def check_first(listing: Listing) -> None:
    """Read the first entries.

    Raises:
        InputError: the list is missing or empty, has no such column, or holds something else.
    """
    with unnamed(listing.path, listing.shown, listing.reveal):
        if next((table for table in _tables(listing) if table.num_rows), None) is None:
            raise _empty(listing)


def read(listing: Listing) -> pa.Table:
    """The whole list, each entry once and sorted: a table of schema KEYS or HASHES.

    Raises:
        StateError: it is not the list that was there when the run began.
        InputError: as ``check_first``; or it is longer than a worker holds.
    """
    with (
        unnamed(listing.path, listing.shown, listing.reveal),
        unchanged(_watched(listing), listing.shown),
    ):
        if digest(listing.path, listing.on) != listing.sha256:
            raise StateError(f"{listing.shown} has changed since the run began: start it again")
        return _whole(listing)


def _watched(listing: Listing) -> list[str]:
    """The files whose changes are changes of the list; of a run its manifest, which goes before all else does."""
    if run_entries.is_run(listing.path):
        return [storage.join(listing.path, MANIFEST)]
    return files_of(listing.path, listing.on)


def _whole(listing: Listing) -> pa.Table:
    most = MOST_HASHES if listing.on == "phash" else MOST_ENTRIES
    tables: list[pa.Table] = []
    count = 0
    for table in _tables(listing):
        tables.append(table)
        count += table.num_rows
        if count > most:
            raise InputError(
                f"{listing.shown} has more than {most:,} entries, which is what a worker holds: make several lists "
                "of it, each for an `exclude` step of its own"
            )
    if not count:
        raise _empty(listing)
    return _sorted(pa.concat_tables(tables).combine_chunks())


@lru_cache(maxsize=1)
def held(listing: Listing) -> pa.Table:
    """The same, read and sorted once a process: for tasks that find no table of it."""
    return read(listing)


def _empty(listing: Listing) -> InputError:
    return InputError(f"{listing.shown} has no entries: leave the step out, or give the list")


def _sorted(table: pa.Table) -> pa.Table:
    """In order, of equal entries the one with the smallest uid."""
    uid = uid_words(table["uid"].combine_chunks().fill_null(bytes(members.BYTES)))
    columns = [_bytes(table[name]) for name in table.column_names if name not in ("uid", "sid")]
    order = np.lexsort((uid[:, 1], uid[:, 0], *reversed(columns)))
    first = np.ones(len(order), dtype=bool)
    first[1:] = False
    for column in columns:
        first[1:] |= column[order[1:]] != column[order[:-1]]
    return table.take(pa.array(order[first]))


def _bytes(column: pa.ChunkedArray) -> Any:
    """A column as an array that sorts, (n,)."""
    if pa.types.is_uint64(column.type):
        return column.to_numpy()
    filled = column.combine_chunks().fill_null(bytes(column.type.byte_width))
    rows = np.ascontiguousarray(byte_rows(filled))
    return rows.view(f"S{rows.shape[1]}").ravel()


def _tables(listing: Listing) -> Iterator[pa.Table]:
    """The list's entries, some at a time, as tables of schema KEYS or HASHES."""
    if run_entries.is_run(listing.path):
        kept = run_entries.kept(listing.path, listing.on, listing.column, listing.shown)
        yield from (_of_run(listing.on, table) for table in kept)
        return
    for path in files_of(listing.path, listing.on):
        entries = _cells if cell_tables.is_table(path, _wanted(listing)) else _lines
        batches = entries(path, listing)
        while batch := list(islice(batches, BATCH)):
            yield _table(listing, batch)


def _of_run(on: On, table: pa.Table) -> pa.Table:
    """A part of a run as a table of schema KEYS or HASHES; a sample without a value is no entry."""
    uids = pa.array([bytes.fromhex(uid) for uid in table["uid"].to_pylist()], UID)
    if on == "phash":
        stored = {name: table[name] for name in ("layout", "pixels", "sid")}
        found = pa.table({"phash": table["value"], "uid": uids, **stored}).select(HASHES.names)
        return found.filter(found["phash"].is_valid())
    keys = [stored_key(on, value) for value in table["value"].to_pylist()]
    found = pa.Table.from_arrays([pa.array(keys, UID), uids], schema=KEYS)
    return found.filter(found["key"].is_valid())


def _table(listing: Listing, batch: Sequence[Entry]) -> pa.Table:
    form = FORMS[listing.on]
    values = []
    for entry in batch:
        try:
            values.append(form(entry.value))
        except (ValueError, AttributeError, TypeError) as error:
            said = f" `{str(entry.value)[:80]}`" if listing.reveal else ""
            text = isinstance(entry.value, str) or isinstance(error, ValueError)
            why = error if text else f"text is wanted, and this is {type(entry.value).__name__}"
            raise InputError(
                f"{listing.shown}: {entry.place}:{said} is no {listing.on}: {why}"
            ) from None
    uids = pa.array([_own_uid(entry.uid) for entry in batch], UID)
    if listing.on == "phash":
        known = {"phash": pa.array(values, pa.uint64()), "uid": uids}
        columns = [known.get(field.name, pa.nulls(len(batch), field.type)) for field in HASHES]
        return pa.Table.from_arrays(columns, schema=HASHES)
    return pa.Table.from_arrays([pa.array(values, UID), uids], schema=KEYS)


def _lines(path: str, listing: Listing) -> Iterator[Entry]:
    """The lines that are not empty; but in a list of captions a line that begins with # is a comment."""
    for number, text in text_lines.lines(path, listing.shown):
        if listing.on == "caption" or not text.startswith("#"):
            yield Entry(text, f"line {number:,}")


def _wanted(listing: Listing) -> str | None:
    """The name of the column of entries; None where the job says that there is one."""
    if listing.on in ("signal", "md5"):  # its column is called as the signal
        return listing.column
    return None if listing.column else USUAL.get(listing.on, listing.on)


def _cells(path: str, listing: Listing) -> Iterator[Entry]:
    def chosen(names: list[str]) -> Sequence[str]:
        wanted = listing.column or USUAL.get(listing.on, listing.on)
        name = wanted if wanted in names else None
        name = name or (find_column(wanted, names) if listing.column is None else None)
        if name is None:
            has = f"; it has {', '.join(names)}" if listing.reveal else ""
            raise InputError(
                f"{listing.shown} has no column `{wanted}`{has}: say which with `column:`"
            )
        own = find_column("uid", names) if listing.on != "uid" else None
        return [name] if own in (None, name) else [name, str(own)]

    row = 0
    for values, *more in cell_tables.cells(path, listing.shown, chosen):
        uids = more[0] if more else [None] * len(values)
        for value, uid in zip(values, uids, strict=True):
            row += 1
            if value is not None and value != "":
                yield Entry(value, f"row {row:,}", uid)


# The forms in which entries are compared: each makes a key, or raises a ValueError that says what is wanted.


def _digits(value: Any, count: int) -> bytes:
    if isinstance(value, bytes) and len(value) == count:
        return value
    try:
        raw = bytes.fromhex(value)
    except (TypeError, ValueError):
        raw = b""
    if len(raw) != count:
        raise ValueError(f"{2 * count} hex digits are wanted")
    return raw


def _uid(value: Any) -> bytes:
    try:
        return parse_uid(value) or b""
    except ValueError:
        raise ValueError("32 hex digits are wanted, with a UUID's dashes or without") from None


def _phash(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value % 2**64  # many formats have no unsigned numbers
    return int.from_bytes(_digits(value, 8), "big")


def _address(form: Callable[[str], str], what: str) -> Callable[[Any], bytes]:
    def key(value: Any) -> bytes:
        text = form(value)
        if not text:
            raise ValueError(f"{what} is wanted")
        return text_key(text)

    return key


def caption_key(text: str) -> bytes:
    """16 bytes of a caption, folded as in `near_duplicates`."""
    return text_key(folding.normalise([text])[0])


def stored_key(on: On, value: Any) -> bytes | None:
    """The key of a sample's own value; None where it has none, an address names no host, or a column has no MD5."""
    if value is None or value == "":
        return None
    if on in ("domain", "url"):
        text = addresses.host_of(value) if on == "domain" else addresses.same_url(value)
        return text_key(text) if text else None
    try:
        return bytes(FORMS[on](value))
    except ValueError:
        return None


FORMS: dict[On, Callable[[Any], Any]] = {
    "uid": _uid,
    "url": _address(addresses.same_url, "an address with a host"),
    "domain": _address(addresses.domain, "a host without path or port"),
    "sha256": lambda value: _digits(value, 32)[: members.BYTES],
    "md5": lambda value: _digits(value, members.BYTES),
    "phash": _phash,
    "caption": caption_key,
    "signal": lambda value: text_key(value.strip()),
}


def _own_uid(value: Any) -> bytes | None:
    """The uid beside an entry; None where it is none of 32 hex digits."""
    try:
        return parse_uid(value)
    except ValueError:
        return None
