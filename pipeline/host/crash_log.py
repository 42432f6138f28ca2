"""A file for the traceback of an unforeseen error: people are shown one line, and where the rest is."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback

from tamis.schemas.redaction import redact_text
from tamis.schemas.terminal_text import plain, plain_lines

NO_PROCESS = (
    "the system lets no further process or thread begin (`ulimit -u`, or a container's limit of processes): raise "
    "that, or take fewer workers: `--set resources.cpus=1`; the same command resumes"
)


def lacks_processes(error: BaseException) -> bool:
    """Whether an error is the system's refusal to begin a process or a thread."""
    return (isinstance(error, OSError) and error.errno == errno.EAGAIN) or (
        isinstance(error, RuntimeError) and str(error) == "can't start new thread"
    )


def write(error: BaseException) -> str:
    """Write an error's traceback to a new temporary file, without secrets. Gives one line."""
    last = traceback.format_exception_only(error)[-1].strip().splitlines() or [""]
    text = "".join(traceback.format_exception(error))
    try:
        descriptor, path = tempfile.mkstemp(prefix="tamis-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(plain_lines(redact_text(text)))
    except OSError as failed:
        path = f"nowhere, for no log can be written ({failed.strerror})"
    words = plain(redact_text(last[0]), 200)
    return f"this is a bug of tamis; please report it with its log: {words}: {path}"
