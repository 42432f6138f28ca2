"""Range reads of the members of some rows of a tar, merged over small gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs.formats import Sample, check_same, check_texts
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.picture_formats import SUFFIXES
from tamis.pipeline.inputs.suffixes import OF_JPEG
from tamis.pipeline.inputs.tar.webdataset import CAPTION_SUFFIX, IMAGE_SUFFIXES
from tamis.pipeline.store import ranges, storage

CHUNK_BYTES = 32 << 20
"""Bytes of members held at a time (a larger member alone), which are one request to a store."""

NOTED = {"txt": "text", "json": "meta"}
"""Suffixes of the members that ingest's table holds as a whole -> their columns there."""

DISK_CHUNK_BYTES = 4 << 20
"""The same of a file on this machine: its bytes are hashed and copied while in the processor's cache."""


def pictures(file: InputFile, rows: pa.Table) -> Iterator[bytes]:
    """The bytes of each row's picture."""
    spans = np.stack([rows[name].to_numpy() for name in ("image_offset", "image_size")], axis=1)
    hashes = rows["sha256"].to_numpy()
    for first, stop in _chunks(file, spans, np.arange(len(spans) + 1)):
        views = ranges.read_ranges(file.path, spans[first:stop])
        for view, digest in zip(views, hashes[first:stop], strict=True):
            data = bytes(view)  # a copy, which does not keep the whole chunk
            check_same(file, [data], [digest])
            yield data


def members(file: InputFile, rows: pa.Table) -> Iterator[Sample]:
    """All members of each row, in the order of its list.

    They are hashed as they are written, so that here each picture is not hashed again, but one of each chunk: a file
    that has been written anew shows by it, and by its captions. A single picture that differs, ``tamis verify`` finds.
    """
    listed = rows["members"].combine_chunks()
    flat = listed.flatten()
    spans = np.stack([flat.field(name).to_numpy() for name in ("offset", "size")], axis=1)
    suffix = flat.field("suffix")
    suffixes = suffix.to_pylist()
    texts = {name: pc.equal(suffix, name).to_numpy(zero_copy_only=False) for name in NOTED}
    bounds = np.append(0, np.cumsum(pc.list_value_length(listed).to_numpy()))
    images = np.repeat(rows["image_offset"].to_numpy(), np.diff(bounds)) == spans[:, 0]
    hashes = rows["sha256"].to_numpy()
    for first, stop in _chunks(file, spans, bounds):
        start, end = bounds[first], bounds[stop]
        views = ranges.read_ranges(file.path, spans[start:end])
        check_same(file, [views[np.argmax(images[start:end])]], hashes[first : first + 1])
        samples: Sample = list(zip(suffixes[start:end], views, strict=True))
        within = bounds[first : stop + 1] - start
        spans_of = pairwise(within.tolist())
        chunk = rows.slice(first, stop - first)
        renamed = not OF_JPEG.isdisjoint(suffixes[start:end])
        if not (file.reading.columns or renamed) and all(
            _as_noted(views, within, which[start:end], chunk[NOTED[name]])
            for name, which in texts.items()
        ):
            yield from (samples[low:high] for low, high in spans_of)
            continue
        names = ("text", "meta", "image_format")
        noted = (chunk[name].to_pylist() for name in names)
        which = images[start:end]
        for (low, high), text, meta, form in zip(spans_of, *noted, strict=True):
            picture = int(np.argmax(which[low:high]))
            yield as_read(file, samples[low:high], picture, text, meta, form)


def _as_noted(
    views: Sequence[memoryview],
    bounds: npt.NDArray[np.int64],
    which: npt.NDArray[np.bool_],
    noted: pa.ChunkedArray,
) -> bool:
    """Whether members are to the byte what ingest noted of them: all at once, where ``check_texts`` goes one by one.

    ``views`` are all members, those of sample i from ``bounds[i]`` to the next; ``which`` marks the members compared.
    """
    places = np.flatnonzero(which)
    sample = np.searchsorted(bounds, places, side="right") - 1
    told = noted.is_valid().to_numpy()[sample]
    places, sample = places[told], sample[told]
    wanted = noted.take(pa.array(sample)).cast(pa.large_binary()).combine_chunks()
    found = [views[place] for place in places.tolist()]
    sizes = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
    if not np.array_equal(sizes, pc.binary_length(wanted).to_numpy()):
        return False
    text = wanted.buffers()[2]
    return not found or b"".join(found) == text.to_pybytes()[: int(sizes.sum())]


def as_read(
    file: InputFile, sample: Sample, picture: int, text: str | None, meta: str | None, form: str
) -> Sample:
    """A sample's members, checked against what ingest noted, as a shard has them. ``picture`` is the picture's number.

    Where the job names members for the picture and the caption, they have the suffixes by which trainers find them, and
    so has a JPEG of a rarer name; one that stood under such a suffix and is another is called ``original.`` and it.
    """
    named = file.reading.names("text") or text is None
    check_texts(file, sample, None if named else text, meta)
    suffix, _ = sample[picture]
    if not file.reading.columns and suffix not in OF_JPEG:
        return sample
    kept = suffix in IMAGE_SUFFIXES and suffix not in OF_JPEG
    ending = suffix if kept else SUFFIXES.get(form, form)
    made: Sample = []
    for number, (name, data) in enumerate(sample):
        no_caption = text is not None and str(data, "utf-8-sig", "replace") != text
        other = name == ending or (name == CAPTION_SUFFIX and no_caption)
        made.append((ending if number == picture else f"original.{name}" if other else name, data))
    return made


def _chunks(
    file: InputFile, spans: npt.NDArray[np.int64], bounds: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """(first, stop) of the samples of each chunk, whose size includes the gaps that are read along.

    ``spans`` (n, 2) are offsets and sizes of all members in bytes, those of sample i from ``bounds[i]`` to the next.
    """
    limit = DISK_CHUNK_BYTES if storage.is_local(file.path) else CHUNK_BYTES
    gaps = np.maximum(spans[1:, 0] - spans[:-1].sum(axis=1), 0)
    sizes = spans[:, 1].copy()
    sizes[1:] += np.where(gaps <= ranges.MERGE_GAP, gaps, 0)
    ends = np.append(0, np.cumsum(sizes))[bounds]
    first = 0
    while first < len(ends) - 1:
        full = int(np.searchsorted(ends, ends[first] + limit, side="right")) - 1
        stop = max(full, first + 1)
        yield first, stop
        first = stop
