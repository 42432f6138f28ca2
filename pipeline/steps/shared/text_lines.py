"""Text files of one entry a line."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader, RawIOBase, TextIOWrapper
from typing import cast

from tamis.pipeline.inputs import unread
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError


def lines(path: str, shown: str) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, without white space at their ends, each with its number from 1.

    Raises:
        InputError: it is no UTF-8; ``shown`` is the file's name in the message.
    """
    raw = cast(RawIOBase, storage.open_read(path))
    try:
        with TextIOWrapper(BufferedReader(raw), encoding="utf-8-sig") as text:
            for number, line in enumerate(text, 1):
                if line.strip():
                    yield number, line.strip()
    except UnicodeDecodeError as error:
        mend = unread.advice(path) or "a text file of one entry a line is wanted"
        raise InputError(
            f"{shown}: not UTF-8 ({error.reason} at byte {error.start}): {mend}"
        ) from None
