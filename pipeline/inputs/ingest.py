"""One input file as rows of the ingest table: what lies where, what it is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tamis.pipeline.inputs import captions, parquet
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import (
    FileTotals,
    IngestOptions,
    PartBuilder,
    Row,
    Run,
    damage_row,
    fault,
    picture_row,
)
from tamis.pipeline.inputs.tar.walker import Damage, Walker
from tamis.pipeline.inputs.tar.webdataset import META_SUFFIX, Group, group, is_writable
from tamis.pipeline.inputs.uids import hash_uid, parse_uid
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.ledger import Reason


class FileIngest:
    """Iterate for the tables, one a part; then ``totals`` is complete.

    Every byte of a tar is read once, in order. Rows stand in the order of the file; at most one part's
    columns and one sample's members are held at a time.
    """

    def __init__(self, source: InputFile, options: IngestOptions) -> None:
        self.source = source
        self.options = options
        self.totals = FileTotals()

    def __iter__(self) -> Iterator[pa.Table]:
        builder = PartBuilder(self.options)
        for run in self._runs():
            if len(builder) > 0 and len(builder) + run.size > self.options.part_samples:
                yield builder.take()
            for piece in run.pieces:
                yield from builder.add(piece)
        if len(builder) > 0:
            yield builder.take()

    def _runs(self) -> Iterator[Run]:
        if self.source.kind == "parquet":
            return parquet.runs(self.source, self.options, self.totals)
        return iter([Run(0, _tar_rows(self.source, self.options, self.totals))])


def ingest_file(source: InputFile, options: IngestOptions) -> FileIngest:
    """Read one input file.

    Raises:
        InputError: the file is not there, or (parquet) a column that the job needs is not.
    """
    return FileIngest(source, options)


def _tar_rows(source: InputFile, options: IngestOptions, totals: FileTotals) -> Iterator[Row]:
    try:
        stream = storage.open_read(source.path)
    except OSError as error:
        raise InputError(f"cannot read `{storage.redact(source.path)}`: {error.strerror}") from None
    with stream:
        walker = Walker(stream, options.max_member_bytes)
        for number, item in enumerate(group(walker)):
            if isinstance(item, Damage):
                yield damage_row(source, item)
            else:
                yield sample_row(source, item, number, options)
        totals.size = walker.size
        totals.sha256 = walker.window.sha256()


def sample_row(source: InputFile, sample: Group, number: int, options: IngestOptions) -> Row:
    """The row of one key of a tar, the file's row ``number``. Of several faults the first of these
    counts: the archive's, a repeated key, a missing picture, the caption's, the picture's.
    """
    meta = sample.members.get(META_SUFFIX)
    fields, text, complaint = captions.read_json(meta, options.max_meta_bytes)
    uid = parse_uid(captions.field_text(fields, "uid")) if sample.occurrence == 0 else None
    members = [
        {"suffix": suffix, "offset": member.offset, "size": member.size}
        for suffix, member in sample.members.items()
    ]
    row: Row = {
        "uid": uid
        or hash_uid(source.entry, source.relative, "sample", sample.key, sample.occurrence),
        "key": sample.key,
        "url": captions.field_text(fields, "url"),
        "members": members,
        "meta": text,
        "message": complaint or None,
    }
    caption = captions.read_caption(sample.members, fields, options)
    return row | _picture(sample, number, options) | caption | _layout_fault(sample)


def _picture(sample: Group, number: int, options: IngestOptions) -> Row:
    if sample.image is None:
        return {}
    _, member = sample.image
    row = picture_row(member.data, member.offset, number, options)
    return row | {"image_offset": member.offset}


def _layout_fault(sample: Group) -> Row:
    """Why the members of a group cannot be taken together, if so."""
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
        found = ", ".join(sample.members) or "nothing"
        return fault(Reason.MISSING_IMAGE, f"no picture among the members: {found}", first)
    for suffix, member in sample.members.items():
        if not is_writable(suffix):
            message = f"a member cannot keep the suffix {suffix[:40]!r} in a webdataset"
            return fault(Reason.UNSUPPORTED_MEMBER, message, member.offset)
    return {}
