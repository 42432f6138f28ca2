"""The pictures of a folder as rows of the ingest table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import count

from tamis.pipeline.inputs.folder.listing import Place, by_stem, places
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions, Row
from tamis.pipeline.inputs.tar.rows import sample_rows
from tamis.pipeline.inputs.tar.walker import Damage, Member
from tamis.pipeline.inputs.tar.webdataset import Group, Suffixes
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.ledger import Reason


def rows(file: InputFile, options: IngestOptions, totals: FileTotals) -> Iterator[Row]:
    """A row for each picture of a folder, in the order of names; and for what lies there without a picture."""
    suffixes, digest, numbers = Suffixes.of(file.reading), hashlib.sha256(), count()
    row_number, size = count(), 0
    for files in by_stem(places(file)):
        read = {}
        for place in files:
            read[place.file.relative] = _read(place, options, digest)
            size += place.file.size
        for sample in _samples(files, read, suffixes):
            number = next(row_number)
            for row in sample_rows(file, sample, numbers, options):
                yield row | {"file_row": number}
    totals.size, totals.sha256 = size, digest.digest()


def _read(place: Place, options: IngestOptions, digest: hashlib._Hash) -> Member | Damage:
    """A file's bytes; of one that is too large they are hashed and dropped."""
    file, size = place.file, 0
    pieces = []
    with storage.open_read(file.path) as stream:
        while chunk := stream.read(storage.READ_BLOCK):
            digest.update(chunk)
            size += len(chunk)
            if file.size <= options.max_member_bytes:
                pieces.append(chunk)
    if size != file.size:
        raise InputError(
            f"`{storage.redact(file.path)}` has changed while its folder was read: run again with --accept-changed"
        )
    if size > options.max_member_bytes:
        message = f"{size} bytes: the limit is {options.max_member_bytes} (max_member_bytes)"
        return Damage(Reason.MEMBER_TOO_LARGE, place.offset, size, message, file.relative)
    return Member(file.relative, place.offset, size, memoryview(b"".join(pieces)))


def _samples(
    files: Sequence[Place], read: dict[str, Member | Damage], suffixes: Suffixes
) -> Iterator[Group]:
    """A sample for each picture among the files of one stem, which share what else there is of it.

    The preferred picture has the stem for its key, further ones their whole names.
    """
    pictures = [place for ending in suffixes.pictures for place in files if place.suffix == ending]
    others = [place for place in files if place not in pictures]
    for number, picture in enumerate(pictures or [None]):
        key = files[0].stem if picture is None or not number else picture.file.relative
        sample = Group(key, 0, suffixes)
        for place in others if picture is None else [picture, *_texts(picture, others)]:
            sample.add(place.suffix, read[place.file.relative])
        yield sample


def _texts(picture: Place, others: Sequence[Place]) -> Iterator[Place]:
    """What belongs to a picture: what goes on from its whole name, and what all of its stem share beside that."""
    own = {place.suffix for place in others if place.picture == picture.file.relative}
    for place in others:
        shared = place.picture is None and place.suffix not in own
        if shared or place.picture == picture.file.relative:
            yield place
