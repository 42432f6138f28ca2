"""Pages of HTML that a command writes where it is told to."""

from __future__ import annotations

from tamis.jobs.terminal import display
from tamis.pipeline.store import storage
from tamis.schemas.errors import JobError

BEGINNING = b"<!doctype html"
"""Of every page, in any case of letters: what begins so may be written again."""


def write_page(path: str, page: bytes) -> None:
    """Write a page, and say where.

    Raises:
        JobError: as ``check_page``.
    """
    check_page(path)
    target = storage.absolute(path)
    storage.write_bytes(target, page)
    display.echo(f"{storage.redact(target)} ({display.size(len(page))})")


def check_page(path: str) -> None:
    """Refuse to write a page there, before the work of making one.

    Raises:
        JobError: another file is there, such as a result or a picture.
    """
    target = storage.absolute(path)
    if storage.is_file(target):
        with storage.open_read(target) as file:
            there = file.read(len(BEGINNING))
        if there and there.lower() != BEGINNING:
            raise JobError(
                f"`{storage.redact(target)}`: holds something that is no page, and would be lost: name another file"
            )
