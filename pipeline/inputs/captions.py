"""Captions and other text of inputs, checked for use."""

from __future__ import annotations

from typing import Any

from tamis.pipeline.algorithms.near_captions.folding import is_visible
from tamis.pipeline.inputs.part_builder import MAX_URL_BYTES, IngestOptions, Row, fault
from tamis.schemas.ledger import Reason
from tamis.schemas.tables import find_column


def field(fields: dict[str, Any], name: str) -> Any:
    """The value of ``name`` or an alias in ``fields``; None where they have none."""
    column = find_column(name, list(fields))
    return fields[column] if column is not None else None


def field_text(fields: dict[str, Any], name: str) -> str | None:
    """The text that ``fields`` have for ``name`` or an alias; None where the value is no text."""
    value = field(fields, name)
    return value if isinstance(value, str) and is_text(value) else None


def bounded_url(url: str | None) -> tuple[str | None, str]:
    """(url, complaint): without the URL where it is longer than any is."""
    if url is None or len(url) <= MAX_URL_BYTES // 4 or len(url.encode()) <= MAX_URL_BYTES:
        return url, ""
    return None, long_url(len(url))


def long_url(characters: int) -> str:
    """The complaint about a URL that is too long."""
    return f"the url is left out: {characters} characters, the limit is {MAX_URL_BYTES} bytes"


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8: JSON may spell half a surrogate pair."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def judge_caption(caption: str | None, offset: int | None, options: IngestOptions) -> Row:
    """The columns of a caption: ``text``, or the fault that forbids its use."""
    if caption is None:
        return fault(Reason.MISSING_CAPTION, "no caption", offset)
    if not is_text(caption):
        return fault(Reason.BAD_CAPTION, "the caption has half a surrogate pair", offset)
    size = len(caption) if caption.isascii() else len(caption.encode())
    if size > options.max_caption_bytes:
        message = f"{size} bytes: the limit is {options.max_caption_bytes} (max_caption_bytes)"
        return fault(Reason.CAPTION_TOO_LONG, message, offset)
    if not options.empty_captions and not is_visible(caption):
        return {"text": caption} | fault(Reason.EMPTY_CAPTION, "nothing to see", offset)
    return {"text": caption}
