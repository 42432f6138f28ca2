"""The ledger: one row an input sample, and the closed list of reasons for a drop."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pyarrow as pa

from tamis.schemas import registry
from tamis.schemas.step import StepModel


class Reason(StrEnum):
    """Reason of the frame for dropping a sample, whatever the job's steps; a step declares its own in its config.py."""

    # the file
    UNREADABLE_FILE = "unreadable_file"
    NOT_AN_ARCHIVE = "not_an_archive"
    TRUNCATED_ARCHIVE = "truncated_archive"
    DAMAGED_ARCHIVE = "damaged_archive"
    UNSUPPORTED_MEMBER = "unsupported_member"
    UNSAFE_NAME = "unsafe_name"
    # the sample
    MISSING_IMAGE = "missing_image"
    MISSING_CAPTION = "missing_caption"
    DUPLICATE_KEY = "duplicate_key"
    REPEATED_UID = "repeated_uid"
    BAD_CAPTION = "bad_caption"
    EMPTY_CAPTION = "empty_caption"
    CAPTION_TOO_LONG = "caption_too_long"
    EMPTY_IMAGE = "empty_image"
    UNDECODABLE_IMAGE = "undecodable_image"
    TRUNCATED_IMAGE = "truncated_image"
    IMAGE_TOO_LARGE = "image_too_large"
    MEMBER_TOO_LARGE = "member_too_large"
    UNREADABLE_ROW = "unreadable_row"
    KILLED_ITS_WORKER = "killed_its_worker"


FRAME: dict[str, str] = {
    Reason.UNREADABLE_FILE: "the input file cannot be read at all",
    Reason.NOT_AN_ARCHIVE: "the file is no tar: another format, or empty",
    Reason.TRUNCATED_ARCHIVE: "the tar ends in the middle of a member, or without its end mark",
    Reason.DAMAGED_ARCHIVE: "a range of bytes is no tar header: garbage, or a wrong checksum",
    Reason.UNSUPPORTED_MEMBER: "a link, device or sparse member, a suffix that cannot be written, or too many members",
    Reason.UNSAFE_NAME: "an absolute name, or one that climbs with '..'",
    Reason.MISSING_IMAGE: "the key has no picture",
    Reason.MISSING_CAPTION: "the key has no caption",
    Reason.DUPLICATE_KEY: "the key, or one of its members, occurs earlier in the same file",
    Reason.REPEATED_UID: "the input gives its uid to another sample too, which is kept: a uid names one",
    Reason.BAD_CAPTION: "the caption is not UTF-8, or no text",
    Reason.EMPTY_CAPTION: "the caption is empty, or nothing but white space",
    Reason.CAPTION_TOO_LONG: "the caption is longer than the limit",
    Reason.EMPTY_IMAGE: "the picture has no bytes",
    Reason.UNDECODABLE_IMAGE: "the bytes are no picture that the decoder knows",
    Reason.TRUNCATED_IMAGE: "the picture ends too early",
    Reason.IMAGE_TOO_LARGE: "the picture's header claims more pixels or scans than the limit; it was not decoded",
    Reason.MEMBER_TOO_LARGE: "a member, cell or file is larger than the limit; it was not read",
    Reason.UNREADABLE_ROW: "the row, or its row group, cannot be read",
    Reason.KILLED_ITS_WORKER: "reading it, its row group or its file ended the worker process, alone and repeatedly",
}
"""The frame's reasons -> their meanings."""


def reasons() -> Mapping[str, str]:
    """The closed list: every reason -> its meaning; the frame's reasons first, then those of each step."""
    meanings = {str(reason): words for reason, words in FRAME.items()}
    for kind in registry.STEPS:
        meanings |= registry.configuration(kind).reasons
    return meanings


def meaning(reason: str, step: StepModel | None) -> str:
    """The meaning of a reason that ``step`` gave, in words. None: a step that every job has, as ingest."""
    words = None if step is None else step.meaning(reason)
    return words or FRAME[reason]


def likeness(reason: str, step: StepModel | None) -> str:
    """Name of the measure in `partner_value` beside a reason that ``step`` gave; empty if there is none."""
    return step.likeness if step is not None and reason in step.reasons else ""


LEDGER = pa.schema(
    [
        pa.field("uid", pa.string(), nullable=False),  # 32 hex digits
        pa.field("sid", pa.int64(), nullable=False),  # part << 32 | row
        pa.field("source", pa.string(), nullable=False),  # the input file: entry/relative path
        pa.field("key", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("text", pa.large_string()),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("step", pa.string()),  # the first step that dropped it
        pa.field("reason", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("bound", pa.float64()),
        pa.field("failed", pa.list_(pa.string())),  # the rules of that step that it fails
        pa.field("message", pa.string()),
        pa.field("error_offset", pa.int64()),  # bytes into the input file
        pa.field("partner_uid", pa.string()),  # the verified neighbour that makes it a duplicate
        pa.field("partner_value", pa.float64()),
        pa.field("survivor_uid", pa.string()),  # the sample of its group that is kept
        pa.field("cluster", pa.int32()),
        pa.field("rank", pa.int64()),  # 1 = the first that its concept keeps
        pa.field("distance", pa.float32()),  # 1 - cosine to the concept's centroid
        pa.field("quota", pa.int64()),  # samples that its concept keeps
        pa.field("shard", pa.int32()),
        pa.field("shard_key", pa.string()),
    ]
)
"""Every ledger has these columns, in this order; a column for each signal of the job follows them."""

TAKEN = ("row", "file_row_number", *LEDGER.names)
"""Names that no signal has: columns of the ledger, of tables of samples, and of DuckDB's reading of them."""
