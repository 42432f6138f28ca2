"""Errors that a person can mend: the command line prints only the message, and exits with 2."""

from __future__ import annotations

import signal

from tamis.schemas.redaction import redact_text
from tamis.schemas.terminal_text import plain


class TamisError(Exception):
    """An error with one line as its message: what is wrong, where, and how to mend it.

    Whatever the message quotes, it shows no secret of an address, and nothing that would command a terminal.
    """

    def __str__(self) -> str:
        return plain(redact_text(super().__str__()))


class BugError(Exception):
    """An unforeseen failure of a task. The message is its traceback."""


class JobError(TamisError):
    """The job names something that does not exist, or its parts do not fit together."""


class InputError(TamisError):
    """An input path, column or embedding file is not as the job describes it."""


class ModelError(TamisError):
    """A model cannot be loaded: its package, weights, name or device is missing."""


class NotFetchedError(ModelError):
    """The weights of a model are not on this machine; ``dim``, or None, and ``has_text`` are known without them."""

    def __init__(self, message: str, dim: int | None, has_text: bool) -> None:
        super().__init__(message)
        self.dim, self.has_text = dim, has_text


class PlugInError(TamisError):
    """A function of one's own cannot be imported, says too little of itself, or fails on a sample."""


class StateError(TamisError):
    """The run directory or a file in it does not fit this job."""


class StorageError(TamisError):
    """A store refuses, or does not answer after all retries. Nothing has changed: the same command resumes."""


class WorkerError(TamisError):
    """A task ends its worker process at every try, and no single sample is the cause: too little memory, or a crash."""


class ClusterError(TamisError):
    """A Ray cluster cannot be reached, or lacks something that the job needs. Nothing was sent to it."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: a scheduler's form of Ctrl-C."""

    number = signal.SIGTERM
