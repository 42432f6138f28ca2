"""The job of a run directory, as the run has stored it."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.pipeline.plugins.sources import nothing_imported
from tamis.pipeline.store import storage
from tamis.schemas.errors import StateError
from tamis.schemas.job import Job
from tamis.schemas.layout import JOB
from tamis.schemas.parse import parse_job


def read_job(root: str, settings: Sequence[str] = ()) -> Job:
    """The job, with other ``settings``. Nothing that it names is imported: a run may be anybody's.

    Raises:
        StateError: ``job.yaml`` is missing, or no text.
        JobError: it is no job of this version; or a setting does not fit.
        PlugInError: it cannot be read without an import.
    """
    path = storage.join(root, JOB)
    shown = storage.redact(path)
    try:
        text = storage.read_bytes(path).decode()
    except FileNotFoundError:
        raise StateError(
            f"{storage.redact(root)}: has no {JOB}: the command `tamis run` writes it"
        ) from None
    except UnicodeDecodeError:
        raise StateError(
            f"{shown}: is no text in UTF-8: `tamis run` with the run's job writes it anew"
        ) from None
    with nothing_imported():
        # What is wrong with a setting is said of the setting: the file is the run's own.
        return parse_job(text, f"--set {' '.join(settings)}" if settings else shown, settings)
