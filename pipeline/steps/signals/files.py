"""Files that signals are made with: heads and lists of words, each known by its sha256."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from tamis.pipeline.signals.heads import Head, read_head
from tamis.pipeline.signals.word_list import WordList, read_list
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, ModelError


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
    try:
        data = storage.read_bytes(storage.absolute(path))
    except OSError as error:
        raise InputError(f"list {storage.redact(path)} cannot be read: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest(), read_list(data, storage.redact(path))


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
    try:
        data = storage.read_bytes(storage.absolute(path))
    except OSError as error:
        raise ModelError(f"head {storage.redact(path)} cannot be read: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest(), read_head(data, storage.redact(path))
