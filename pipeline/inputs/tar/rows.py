"""The samples of a tar as rows of the ingest table: positions, contents and faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from tamis.pipeline.inputs import captions, json_text, partitions
from tamis.pipeline.inputs.input_files import InputFile, Reading
from tamis.pipeline.inputs.part_builder import (
    FileTotals,
    IngestOptions,
    Row,
    damage_row,
    fault,
    picture_row,
)
from tamis.pipeline.inputs.suffixes import OTHER_PICTURES, RAW_PICTURES, UID
from tamis.pipeline.inputs.tar.walker import Damage, Member, Walker
from tamis.pipeline.inputs.tar.webdataset import (
    CAPTION_SUFFIX,
    MAX_MEMBERS,
    META_SUFFIX,
    Group,
    Suffixes,
    group,
    is_writable,
)
from tamis.pipeline.inputs.uids import hash_uid, own_uids
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.ledger import Reason


def rows(file: InputFile, options: IngestOptions, totals: FileTotals) -> Iterator[Row]:
    """A row for each key of a tar and each range of damage, in the order of the file.

    Raises:
        InputError: the file is gone.
    """
    try:
        stream = storage.open_read(file.path)
    except FileNotFoundError:
        raise InputError(f"`{storage.redact(file.path)}` is not there any more") from None
    with stream:
        walker = Walker(stream, options.max_member_bytes)
        numbers, places = count(), count()
        for item in group(walker, Suffixes.of(file.reading)):
            if isinstance(item, Damage):
                next(numbers)
                yield damage_row(file, item.reason, item.message, item.offset)
                continue
            # Among the samples: embeddings beside a tar have no row for damage without a name.
            place = next(places)
            for row in sample_rows(file, item, numbers, options):
                yield row | {"file_row": place}
        totals.size = walker.size
        totals.sha256 = walker.window.sha256()


def sample_rows(
    file: InputFile, sample: Group, numbers: Iterator[int], options: IngestOptions
) -> Iterator[Row]:
    """The row of one key of a tar, by the job one for each of its captions; ``numbers`` are those of the file's rows.
    Of several faults the first of these counts: the archive's, a repeated key, a missing picture, the caption's, the
    picture's.
    """
    meta = sample.members.get(META_SUFFIX)
    fields, text, complaint = read_json(meta, options.max_meta_bytes)
    uid = None
    if sample.occurrence == 0 and file.own_uids:
        place = f"`{storage.redact(file.path)}`: {sample.key[:80]}"
        (uid,) = own_uids([_uid(sample, fields, file.reading)], place)
    url, long_url = captions.bounded_url(_text(_named(sample, fields, "url", file.reading)))
    members = [
        {"suffix": suffix, "offset": member.offset, "size": member.size}
        for suffix, member in sample.members.items()
    ]
    row: Row = {
        "uid": uid or hash_uid(file.entry, file.relative, "sample", sample.key, sample.occurrence),
        "key": sample.key,
        "url": url,
        "members": members,
        "meta": text,
        "message": complaint or long_url or None,
    }
    layout, picture = _layout_fault(sample), None
    told = {**partitions.captions(file), **fields}
    found = read_captions(sample.members, told, options, file.reading)
    for which, caption in enumerate(found):
        number = next(numbers)
        if picture is None or not options.opens_all:  # else another caption of the same picture
            picture = _picture(sample, number, options)
        named = captions.caption_uid(file, row["uid"], which)
        if caption.get("reason") == Reason.MISSING_CAPTION:
            why = f"; {complaint}" if complaint else ""
            caption["message"] = f"no caption among the members: {_listed(sample)}{why}"
        yield row | picture | {"uid": named} | caption | layout


def _named(sample: Group, fields: dict[str, Any], name: str, reading: Reading) -> Any:
    """The value of a member that the job names, else of the json's key; None where there is neither."""
    for suffix in reading.names(name):
        member = sample.members.get(suffix.lower())
        if member is not None and member.size:
            return bytes(member.data).decode("utf-8-sig", "replace").strip()
    return captions.field(fields, name, reading)


def _uid(sample: Group, fields: dict[str, Any], reading: Reading) -> Any:
    """The uid that the job names, else that of a result's member, else the json's; None where there is none."""
    member = sample.members.get(UID)
    if member is not None and member.size and not reading.names("uid"):
        return bytes(member.data).decode("utf-8-sig", "replace").strip()
    return _named(sample, fields, "uid", reading)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and captions.is_text(value) else None


def _picture(sample: Group, number: int, options: IngestOptions) -> Row:
    if sample.image is None:
        return {}
    _, member = sample.image
    row = picture_row(member.data, member.offset, number, options)
    return row | {"image_offset": member.offset}


def _layout_fault(sample: Group) -> Row:
    """The fault of a group's layout; no columns where it has none."""
    if sample.damage is not None:
        damage = sample.damage
        return fault(damage.reason, f"{damage.name}: {damage.message}", damage.offset)
    first = min(member.offset for member in sample.members.values())
    if sample.occurrence > 0:
        message = (
            f"the key, or a suffix of it, stood before: this is number {sample.occurrence + 1}"
        )
        return fault(Reason.DUPLICATE_KEY, message, first)
    if sample.image is None:
        message = f"no picture among the members: {_listed(sample)}{_other_picture(sample)}"
        return fault(Reason.MISSING_IMAGE, message, first)
    if sample.beyond:
        message = f"more than {MAX_MEMBERS} members of one key: {_listed(sample)}"
        return fault(Reason.UNSUPPORTED_MEMBER, message, first)
    for suffix, member in sample.members.items():
        if not is_writable(suffix):
            message = f"a member cannot keep the suffix {suffix[:40]!r} in a webdataset"
            return fault(Reason.UNSUPPORTED_MEMBER, message, member.offset)
    return {}


SHOWN = 5
"""Members in a message; of more the number is told."""


def _listed(sample: Group) -> str:
    """The first members of a key, with what is known of a key that has too many, or none to itself."""
    names = [name[:40] or "nothing" for name in list(sample.members)[:SHOWN]]
    more = len(sample.members) + sample.beyond - len(names)
    if not more:
        return ", ".join(names) or "nothing"
    return f"{', '.join(names)} and {more:,} more (a key ends at the first dot of the file's name)"


INSIDE = frozenset(("tar", "zip", "gz", "tgz", "parquet", "csv", "tsv", "jsonl", "npy", "npz"))
"""Suffixes of what is data of its own, and no part of a sample."""

UNDECODED = OTHER_PICTURES | RAW_PICTURES
"""Suffixes of pictures that are not read."""


def _other_picture(sample: Group) -> str:
    other = next((name for name in sample.members if name in UNDECODED), None)
    if other is not None:
        return f": {other} is not decoded, convert it to jpg, png or webp"
    inside = next((name for name in sample.members if name.rpartition(".")[2] in INSIDE), None)
    return f": a {inside} in a tar is not read: unpack the tar" if inside else ""


def read_json(member: Member | None, limit: int) -> tuple[dict[str, Any], str | None, str]:
    """(fields, text, complaint) of a json member; no fields and no text where it is no JSON object."""
    if member is None:
        return {}, None, ""
    if member.size > limit:
        return {}, None, f"the json member has {member.size} bytes: left out, the limit is {limit}"
    try:
        text = bytes(member.data).decode("utf-8-sig")
        fields = json_text.loaded(text)
    except ValueError as error:
        return {}, None, f"the json member is left out: {type(error).__name__}: {error}"
    if not isinstance(fields, dict):
        return {}, None, "the json member is left out: it is no object"
    return fields, text, ""


def read_captions(
    members: Mapping[str, Member], fields: dict[str, Any], options: IngestOptions, reading: Reading
) -> list[Row]:
    """The columns of a tar sample's captions, one at least: from its txt member, or those that the job names, else from
    its json's ``fields``.
    """
    if reading.captions == "none":
        return [{}]
    for suffix in reading.names("text") or (CAPTION_SUFFIX,):
        member = members.get(suffix.lower())
        if member is not None and suffix.lower() != META_SUFFIX:
            return [_caption_of(member, options)]
    first = min((member.offset for member in members.values()), default=None)
    offset = members[META_SUFFIX].offset if META_SUFFIX in members else first
    column, value = captions.found_field(fields, "text", reading)
    try:
        found = captions.texts_of(value, reading, column or "")
    except ValueError as error:
        return [fault(Reason.BAD_CAPTION, f"in the json member {error}", offset)]
    return [captions.judge_caption(text, offset, options) for text in found]


def _caption_of(member: Member, options: IngestOptions) -> Row:
    try:
        text = bytes(member.data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8: {error.reason} at byte {error.start}"
        return fault(Reason.BAD_CAPTION, message, member.offset + error.start)
    return captions.judge_caption(text, member.offset, options)
