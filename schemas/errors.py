"""What can go wrong in a way that a person can mend. The command line prints the message alone and exits with 2."""

from __future__ import annotations


class TamisError(Exception):
    """The message is one line: what is wrong, where, and how to mend it."""


class BugError(Exception):
    """A task failed in a way that is not foreseen. The message is its traceback."""


class JobError(TamisError):
    """The job file asks for something that does not exist or does not fit together."""


class InputError(TamisError):
    """An input path, column or embedding file is not what the job says it is."""


class ModelError(TamisError):
    """A model cannot be loaded: its package, weights, name or device is missing."""


class StateError(TamisError):
    """The run directory, or what stands in it, does not fit this job."""


class StorageError(TamisError):
    """A store refuses, or does not answer after all retries. Nothing was changed: the same command resumes."""


class WorkerError(TamisError):
    """A task ends its worker process every time, and no single sample is to blame: too little memory, or a crash."""


class ClusterError(TamisError):
    """A Ray cluster cannot be reached, or is not what the job needs. Nothing was sent to it."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: a cluster's way to say Ctrl-C."""
