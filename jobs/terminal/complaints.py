"""The words of an error on a terminal: without secrets, without commands to the terminal, and not of any length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from typer.exceptions import TyperException

from tamis.schemas.redaction import redact_text
from tamis.schemas.terminal_text import plain, plain_lines

LONGEST = 4_000
"""Characters of an error: one that quotes an argument or a line of a file may have any number."""


def one_line(message: str) -> str:
    """The message on one line."""
    return plain(_bounded(redact_text(message)))


def _bounded(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} ... {text[-half:]}"


@contextmanager
def of_usage() -> Iterator[None]:
    """Context in which a command line is read: what typer says of a wrong one is worded so too, on its own lines."""
    try:
        yield
    except TyperException as error:
        error.message = plain_lines(_bounded(redact_text(error.message)))
        raise
