"""Captions and other text of inputs, checked for use."""

from __future__ import annotations

from typing import Any

from tamis.pipeline.algorithms.near_captions.folding import is_visible
from tamis.pipeline.inputs.inner_fields import field_of
from tamis.pipeline.inputs.input_files import BY_ALIAS, InputFile, Reading
from tamis.pipeline.inputs.part_builder import MAX_URL_BYTES, IngestOptions, Row, fault
from tamis.pipeline.inputs.uids import hash_uid
from tamis.schemas.ledger import Reason

CAPTIONS_ARE_TEXT = "captions are text"
"""In the message about a column of captions that holds something else."""


def field(fields: dict[str, Any], name: str, reading: Reading = BY_ALIAS) -> Any:
    """The value of ``name``, by the job's names or an alias, in ``fields``; None where they have none."""
    return found_field(fields, name, reading)[1]


def found_field(fields: dict[str, Any], name: str, reading: Reading) -> tuple[str | None, Any]:
    """(its own name, value) of ``name`` in ``fields``; the job may name a field inside another: ``caption.en``."""
    column = reading.column(name, list(fields))
    if column is not None:
        return column, fields[column]
    if name != "text" or reading.captions != "none":
        for inner in reading.names(name):
            value = field_of(fields, inner)
            if value is not None:
                return inner, value
    return None, None


def field_text(fields: dict[str, Any], name: str, reading: Reading = BY_ALIAS) -> str | None:
    """The text that ``fields`` have for ``name``; None where the value is no text."""
    value = field(fields, name, reading)
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


def texts_of(value: object, reading: Reading, name: str) -> list[str | None]:
    """The captions in a JSON value that the job takes: one at least, which is None where there is none.

    Raises:
        ValueError: it is neither text nor, where the job takes lists, a list of texts.
    """
    if value is None or isinstance(value, str):
        return [value]
    lists = reading.captions in {"first", "each"}
    if not isinstance(value, list) or not lists:
        mend = ": say `captions: first` or `captions: each`" if isinstance(value, list) else ""
        raise ValueError(f"`{name}` is {type(value).__name__}, not text{mend}")
    found = [text for text in value if text is not None]
    if not all(isinstance(text, str) for text in found):
        raise ValueError(f"`{name}` is a list of more than text")
    return (found if reading.captions == "each" else found[:1]) or [None]


def caption_uid(file: InputFile, uid: bytes, number: int) -> bytes:
    """The uid of a sample's caption by its number, from 0: the first keeps the sample's ``uid``."""
    return hash_uid(file.entry, file.relative, "caption", uid.hex(), number) if number else uid


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
