"""Captions and the json member: bytes to text, and what the text says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tamis.pipeline.inputs.part_builder import IngestOptions, Row, fault
from tamis.pipeline.inputs.tar.walker import Member
from tamis.pipeline.inputs.tar.webdataset import CAPTION_SUFFIX, META_SUFFIX
from tamis.schemas.ledger import Reason
from tamis.schemas.tables import find_column


def read_json(member: Member | None, limit: int) -> tuple[dict[str, Any], str | None, str]:
    """(fields, text, complaint) of a json member; no fields and no text where it is no JSON object."""
    if member is None:
        return {}, None, ""
    if member.size > limit:
        return {}, None, f"the json member has {member.size} bytes: left out, the limit is {limit}"
    try:
        text = bytes(member.data).decode("utf-8")
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, None, f"the json member is left out: {type(error).__name__}: {error}"
    if not isinstance(fields, dict):
        return {}, None, "the json member is left out: it is no object"
    return fields, text, ""


def field_text(fields: dict[str, Any], name: str) -> str | None:
    """The value that ``fields`` have for ``name`` or an alias, where it is text."""
    column = find_column(name, list(fields))
    value = fields[column] if column is not None else None
    return value if isinstance(value, str) and is_text(value) else None


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8: JSON may spell half a surrogate pair."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def judge_caption(caption: str | None, offset: int | None, options: IngestOptions) -> Row:
    """The columns of a caption: ``text``, or why it cannot be used."""
    if caption is None:
        return fault(Reason.MISSING_CAPTION, "no caption", offset)
    if not is_text(caption):
        return fault(Reason.BAD_CAPTION, "the caption has half a surrogate pair", offset)
    size = len(caption) if caption.isascii() else len(caption.encode())
    if size > options.max_caption_bytes:
        message = f"{size} bytes: the limit is {options.max_caption_bytes} (max_caption_bytes)"
        return fault(Reason.CAPTION_TOO_LONG, message, offset)
    if not caption.strip():
        return {"text": caption} | fault(Reason.EMPTY_CAPTION, "nothing but white space", offset)
    return {"text": caption}


def read_caption(
    members: Mapping[str, Member], fields: dict[str, Any], options: IngestOptions
) -> Row:
    """The columns of a tar sample's caption: from its txt member, else from its json's ``fields``."""
    txt = members.get(CAPTION_SUFFIX)
    if txt is not None:
        try:
            return judge_caption(bytes(txt.data).decode("utf-8"), txt.offset, options)
        except UnicodeDecodeError as error:
            message = f"not UTF-8: {error.reason} at byte {error.start}"
            return fault(Reason.BAD_CAPTION, message, txt.offset + error.start)
    meta = members.get(META_SUFFIX)
    first = min((member.offset for member in members.values()), default=None)
    offset = first if meta is None else meta.offset
    column = find_column("text", list(fields))
    value = fields[column] if column is not None else None
    if value is not None and not isinstance(value, str):
        message = f"`{column}` in the json member is {type(value).__name__}, not text"
        return fault(Reason.BAD_CAPTION, message, offset)
    return judge_caption(value, offset, options)
