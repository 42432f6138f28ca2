"""Files that signals are made with: heads and lists of words, each known by its sha256."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from tamis.pipeline.signals.heads import Head, read_head
from tamis.pipeline.signals.word_list import WordList, read_list
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, ModelError, StorageError, TamisError


@lru_cache(maxsize=8)
def stored_list(path: str, digest: str) -> WordList:
    """The list at ``path``, which has to have that sha256."""
    current, words = read_list_file(path)
    if current != digest:
        raise InputError(
            f"list {storage.redact(path)} has changed since the run began: start it again"
        )
    return words


def read_list_file(path: str) -> tuple[str, WordList]:
    """A list's sha256, and the list.

    Raises:
        InputError: the file cannot be read, or is no list.
    """
    sha256, data = _read(path, "list", InputError)
    return sha256, read_list(data, storage.redact(path))


@lru_cache(maxsize=8)
def stored_head(path: str, digest: str) -> Head:
    """The head at ``path``, which has to have that sha256."""
    current, head = read_head_file(path)
    if current != digest:
        raise ModelError(
            f"head {storage.redact(path)} has changed since the run began: start it again"
        )
    return head


def read_head_file(path: str) -> tuple[str, Head]:
    """A head file's sha256, and the head.

    Raises:
        ModelError: the file cannot be read, or is no head.
    """
    sha256, data = _read(path, "head", ModelError)
    return sha256, read_head(data, storage.redact(path))


def sha256_of(path: str, known: bool) -> str | None:
    """The sha256 of a file; None where it is not there, or cannot be read and is ``known`` from before.

    Raises:
        StorageError: it cannot be read, and nothing is known of it.
    """
    try:
        return hashlib.sha256(storage.read_bytes(storage.absolute(path))).hexdigest()
    except FileNotFoundError:
        return None
    except StorageError:
        if not known:
            raise
        return None


def _read(path: str, what: str, refusal: type[TamisError]) -> tuple[str, bytes]:
    """A file's sha256, and its bytes."""
    try:
        data = storage.read_bytes(storage.absolute(path))
    except OSError as error:
        raise refusal(f"{what} {storage.redact(path)} cannot be read: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest(), data
