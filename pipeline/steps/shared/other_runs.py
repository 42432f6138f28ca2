"""Files that a step reads beside its inputs: another finished run's, and lists; none may change under the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import ValidationError

from tamis.pipeline.inputs.part_builder import hash_file
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import CONTENT, require_content
from tamis.pipeline.tasks import plan_files
from tamis.schemas.errors import StateError
from tamis.schemas.layout import MANIFEST
from tamis.schemas.manifest import Manifest
from tamis.schemas.registry import configuration


def manifest_of(root: str, shown: str) -> Manifest:
    """The manifest of a finished run.

    Raises:
        StateError: it is damaged, or of another version.
    """
    with suppress(FileNotFoundError):  # told by who needs it
        plan_files.read_head(root)
    try:
        return Manifest.model_validate_json(storage.read_bytes(storage.join(root, MANIFEST)))
    except ValidationError as error:
        raise _damaged(shown, error) from None


def _damaged(shown: str, error: Exception) -> StateError:
    why = " ".join(str(error).split())[:120]
    return StateError(
        f"{shown}: {MANIFEST} is damaged, or of another version ({why}): `tamis run` with that run's job writes it anew"
    )


def steps_of(root: str, shown: str) -> list[Any]:
    """The settings of the steps of a finished run.

    Raises:
        StateError: its manifest is damaged, or has settings that this version does not know.
    """
    manifest = manifest_of(root, shown)
    try:
        return [
            configuration(kind).model_validate(settings)
            for step in manifest.job["steps"]
            for kind, settings in step.items()
        ]
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(shown, error) from None


@contextmanager
def reading(path: str, shown: str) -> Iterator[None]:
    """Context in which a file of another run is read.

    Raises:
        StateError: it is missing, or damaged.
    """
    try:
        yield
    except FileNotFoundError:
        raise StateError(
            f"{shown}: {storage.redact(path)} is missing: bring it back, or run its job again"
        ) from None
    except CONTENT as error:
        require_content(error, path)
        why = " ".join(str(error).split())[:120]
        raise StateError(
            f"{shown}: {storage.redact(path)} cannot be read ({why}): run its job again"
        ) from None


def check_sha256(path: str, sha256: str, shown: str) -> None:
    """Check that a file is the one that was there when the run began.

    Raises:
        StateError: it is another, or gone.
    """
    if storage.find(path) is None or hash_file(path)[1].hex() != sha256:
        raise StateError(f"{shown} has changed since the run began: start it again")


@contextmanager
def unchanged(paths: Sequence[str], shown: str) -> Iterator[None]:
    """Context in which files are read, and looked at again at its end.

    Raises:
        StateError: one has changed meanwhile.
    """
    before = [storage.find(path) for path in paths]
    yield
    if [storage.find(path) for path in paths] != before:
        raise StateError(f"{shown} has changed while it was read: start the run again")
