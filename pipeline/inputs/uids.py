"""Uids, the names of samples outside a run: 128 bits, written as 32 hex digits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from tamis.schemas.errors import InputError

_HEX = re.compile(r"[0-9a-fA-F]{32}")


_DASHED = re.compile("-".join(f"[0-9a-fA-F]{{{digits}}}" for digits in (8, 4, 4, 4, 12)))


class NoUidError(InputError):
    """What an input has for uids are none."""


def parse_uid(value: object) -> bytes | None:
    """The 16 bytes of a uid that the input has for a sample; None where it has none.

    Raises:
        ValueError: it is neither 32 hex digits, with a UUID's dashes or without, nor 16 bytes.
    """
    if isinstance(value, str) and _HEX.fullmatch(value):
        return bytes.fromhex(value)
    if isinstance(value, bytes) and len(value) == 16:
        return value
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if value is None or value == "":
        return None
    if isinstance(value, str) and (_HEX.fullmatch(value) or _DASHED.fullmatch(value)):
        return bytes.fromhex(value.replace("-", ""))
    raise ValueError(f"{value!r:.60} is no uid of 32 hex digits")


def own_uids(values: Iterable[object], place: str) -> list[bytes | None]:
    """``parse_uid`` of samples at a ``place``, in words.

    Raises:
        NoUidError: as ``parse_uid``: other names would be replaced, and the result would name nobody's samples.
    """
    try:
        return list(map(parse_uid, values))
    except ValueError as error:
        raise NoUidError(
            f"{place}: {error}: mend the column, or give the input `columns: {{uid: none}}` to have uids made"
        ) from None


def hash_uid(entry: str, relative: str, kind: str, key: str, occurrence: int) -> bytes:
    """BLAKE2b-128 over the five fields, each as UTF-8 behind its length (uint32, little-endian).

    Args:
        entry: the name of the input entry.
        relative: the file's path below the entry's fixed prefix.
        kind: "sample" (a key of a tar, a picture of a folder), "row" (of a table), "caption" (a further one of a
            sample) or "damage" (a range of bytes).
        key: the sample's key, or a damage's offset in bytes.
        occurrence: 0 for the first sample of that key in the file; for a row its number in the file.
    """
    return hash_uids(entry, relative, kind, [key], [occurrence])[0]


def hash_uids(
    entry: str, relative: str, kind: str, keys: Iterable[str], occurrences: Iterable[int]
) -> list[bytes]:
    """``hash_uid`` of samples of one file: the common fields are hashed once."""
    shared = hashlib.blake2b(digest_size=16)
    for field in (entry, relative, kind):
        raw = field.encode("utf-8", "surrogatepass")
        shared.update(len(raw).to_bytes(4, "little") + raw)
    uids = []
    for key, occurrence in zip(keys, occurrences, strict=True):
        name, number = key.encode("utf-8", "surrogatepass"), str(occurrence).encode()
        digest = shared.copy()
        digest.update(
            len(name).to_bytes(4, "little") + name + len(number).to_bytes(4, "little") + number
        )
        uids.append(digest.digest())
    return uids
