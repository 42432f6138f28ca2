"""Files that signals are made with: heads, lists of words and classifiers, each known by its sha256."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from functools import lru_cache

from tamis.pipeline.signals.heads import Head, read_head
from tamis.pipeline.signals.text_classifier import TextClassifier
from tamis.pipeline.signals.word_list import WordList, read_list
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, ModelError, StorageError, TamisError


@lru_cache(maxsize=8)
def stored_list(path: str, digest: str) -> WordList:
    """The list at ``path``, which has to have that sha256."""
    current, words = read_list_file(path)
    _check_same(current == digest, path, "list", InputError)
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
    _check_same(current == digest, path, "head", ModelError)
    return head


def read_head_file(path: str) -> tuple[str, Head]:
    """A head file's sha256, and the head.

    Raises:
        ModelError: the file cannot be read, or is no head.
    """
    sha256, data = _read(path, "head", ModelError)
    return sha256, read_head(data, storage.redact(path))


@lru_cache(maxsize=2)
def stored_classifier(path: str, digest: str) -> TextClassifier:
    """The classifier at ``path``, which has to have that sha256."""
    current, classifier = read_classifier_file(path)
    _check_same(current == digest, path, "classifier", ModelError)
    return classifier


def read_classifier_file(path: str) -> tuple[str, TextClassifier]:
    """A classifier file's sha256, and the classifier. It loads from a local copy, which is gone then.

    Raises:
        ModelError: the file cannot be read, or is no model of fastText's.
    """
    digest = hashlib.sha256()
    name = storage.redact(path)
    try:
        with tempfile.NamedTemporaryFile(prefix="tamis-classifier-") as copy:
            for chunk in _chunks(path):
                digest.update(chunk)
                copy.write(chunk)
            copy.flush()
            return digest.hexdigest(), TextClassifier(copy.name, name)
    except OSError as error:
        raise ModelError(f"classifier {name} cannot be read: {error.strerror}") from error


def _check_same(same: bool, path: str, what: str, refusal: type[TamisError]) -> None:
    """Raise ``refusal`` unless a file is what it was when the run began."""
    if not same:
        raise refusal(
            f"{what} {storage.redact(path)} has changed since the run began: start it again"
        )


def sha256_of(path: str, known: bool) -> str | None:
    """The sha256 of a file; None where it is not there, or cannot be read and is ``known`` from before.

    Raises:
        StorageError: it cannot be read, and nothing is known of it.
    """
    digest = hashlib.sha256()
    try:
        for chunk in _chunks(path):
            digest.update(chunk)
        return digest.hexdigest()
    except FileNotFoundError:
        return None
    except StorageError:
        if not known:
            raise
        return None


def _chunks(path: str) -> Iterator[bytes]:
    with storage.open_read(storage.absolute(path)) as stream:
        while chunk := stream.read(storage.READ_BLOCK):
            yield chunk


def _read(path: str, what: str, refusal: type[TamisError]) -> tuple[str, bytes]:
    """A file's sha256, and its bytes."""
    try:
        data = storage.read_bytes(storage.absolute(path))
    except OSError as error:
        raise refusal(f"{what} {storage.redact(path)} cannot be read: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest(), data
