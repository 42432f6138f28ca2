"""Uids, the names of samples outside a run: 128 bits, written as 32 hex digits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_HEX = re.compile(r"[0-9a-fA-F]{32}")


def parse_uid(value: object) -> bytes | None:
    """The 16 bytes of a uid that the input has for a sample; None where it is no 32 hex digits."""
    if isinstance(value, str) and _HEX.fullmatch(value):
        return bytes.fromhex(value)
    return None


def hash_uid(entry: str, relative: str, kind: str, key: str, occurrence: int) -> bytes:
    """BLAKE2b-128 over the five fields, each as UTF-8 behind its length (uint32, little-endian).

    Args:
        entry: the name of the input entry.
        relative: the file's path below the entry's fixed prefix.
        kind: "sample" (a key of a tar), "row" (of a parquet file) or "damage" (a range of bytes).
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
