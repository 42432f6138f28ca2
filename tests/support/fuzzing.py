"""Seeded mutations of good input files, and what must hold of every one of them."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.inputs.tar.walker import Damage, Member, Walker
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.ledger import Reason
from tamis.schemas.tables import INGEST
from tests.support.pictures import encode, noise
from tests.support.tars import make_tar

OPTIONS = IngestOptions(part_samples=5, max_pixels=4_000_000, max_member_bytes=1 << 20)
SAMPLES = 8
Span = tuple[int, int]
"""[start, stop) in bytes."""


@dataclass(frozen=True)
class Seed:
    """A good file: its bytes, and where each sample starts."""

    name: str
    data: bytes
    starts: tuple[int, ...] = ()


def _sample(number: int) -> list[tuple[str, bytes]]:
    form = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")[number % 6]
    suffix = ("png", "jpg", "webp", "gif", "bmp", "tif")[number % 6]
    picture = encode(noise(16 + number, 12, seed=number), form)
    key = ("dir/" * number) + f"{number:04d}"
    members = [(f"{key}.{suffix}", picture), (f"{key}.txt", b"caption %d" % number)]
    return [*members, (f"{key}.json", b'{"url": "http://x/%d", "n": %d}' % (number, number))]


def _tar(form: int) -> Seed:
    members = [member for number in range(SAMPLES) for member in _sample(number)]
    data = make_tar(members, form)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        starts = tuple(info.offset for info in tar.getmembers()[::3])
    return Seed("x.tar", data, starts)


def _parquet(group: int, nested: bool, **options: object) -> Seed:
    samples = [_sample(number) for number in range(SAMPLES)]
    images: list[object] = [sample[0][1] for sample in samples]
    if nested:
        images = [{"bytes": image, "path": "x"} for image in images]
    out = io.BytesIO()
    captions = [sample[1][1].decode() for sample in samples]
    table = pa.table({"image": images, "TEXT": captions, "URL": captions, "width": range(SAMPLES)})
    pq.write_table(table, out, row_group_size=group, **options)
    return Seed("x.parquet", out.getvalue())


@cache
def seeds() -> tuple[Seed, ...]:
    """Tars of three forms, parquet files with and without checksums and dictionaries."""
    return (
        _tar(tarfile.USTAR_FORMAT),
        _tar(tarfile.GNU_FORMAT),
        _tar(tarfile.PAX_FORMAT),
        _parquet(3, nested=False),
        _parquet(8, nested=True, write_page_checksum=True),
        _parquet(2, nested=False, use_dictionary=False, compression="zstd"),
    )


Mutation = Callable[[random.Random, bytes], tuple[bytes, Span]]
"""The new bytes, and what of the old ones was touched."""


def flip(rng: random.Random, data: bytes) -> tuple[bytes, Span]:
    """Change one byte."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :], (at, at + 1)


def overwrite(rng: random.Random, data: bytes) -> tuple[bytes, Span]:
    """Put noise, zeros or bytes from elsewhere in place of a range."""
    at, size = rng.randrange(len(data)), rng.choice([1, 8, 100, 512, 3000])
    size = min(size, len(data) - at)
    other = rng.randrange(len(data) - size + 1)
    new = rng.choice([rng.randbytes(size), bytes(size), data[other : other + size]])
    return data[:at] + new + data[at + size :], (at, at + size)


def remove(rng: random.Random, data: bytes) -> tuple[bytes, Span]:
    """Take a range out."""
    at, size = rng.randrange(len(data)), rng.choice([1, 100, 512, 1024, 5000])
    return data[:at] + data[at + size :], (at, len(data))


def insert(rng: random.Random, data: bytes) -> tuple[bytes, Span]:
    """Put noise, zeros or a copy of another range in between."""
    at, size = rng.randrange(len(data)), rng.choice([1, 100, 512, 1024, 5000])
    other = rng.randrange(len(data))
    new = rng.choice([rng.randbytes(size), bytes(size), data[other : other + size]])
    return data[:at] + new + data[at:], (at, len(data))


def cut(rng: random.Random, data: bytes) -> tuple[bytes, Span]:
    """End the file early."""
    at = rng.randrange(len(data))
    return data[:at], (at, len(data))


def sign(rng: random.Random, data: bytes) -> tuple[bytes, Span]:
    """Change a tar header and make its checksum fit: damage that no checksum shows."""
    blocks = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    if not blocks:
        return flip(rng, data)
    at = rng.choice(blocks)
    block = bytearray(data[at : at + 512])
    field, size = rng.choice([(0, 100), (124, 12), (156, 1), (345, 155), (257, 8)])
    for _ in range(rng.randrange(1, 4)):
        block[field + rng.randrange(size)] = rng.choice([*b"01234567./LxgKS \0", 0x80, 0xFF])
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:at] + bytes(block) + data[at + 512 :], (at, at + 512)


MUTATIONS: tuple[Mutation, ...] = (flip, overwrite, remove, insert, cut, sign)


def mutated(number: int) -> tuple[Seed, bytes, list[Span]]:
    """The file of a case: the good one, the new bytes, what of the good one was touched."""
    rng = random.Random(number)
    seed = rng.choice(seeds())
    data, touched = seed.data, []
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        if not data:
            break
        data, span = rng.choice(MUTATIONS)(rng, data)
        touched.append(span)
    return seed, data, touched


def check(number: int) -> str:
    """Read the file of a case; AssertionError where something is lost. What came of it, in a word."""
    seed, data, touched = mutated(number)
    path = f"memory://fuzz/{seed.name}"
    storage.write_bytes(path, data)
    kind = "tar" if seed.name.endswith(".tar") else "parquet"
    reading = ingest_file(InputFile("input", seed.name, path, kind, len(data)), OPTIONS)
    try:
        parts = list(reading)
    except InputError:
        if kind == "parquet":  # a column's name or type has changed
            return "refused"
        raise
    table = pa.concat_tables([INGEST.empty_table(), *parts])
    table.validate(full=True)
    rows = table.to_pylist()
    uids = {row["uid"] for row in rows}
    assert len(uids) == len(rows), "a uid stands twice"
    assert reading.totals.size == len(data)
    reasons = {row["reason"] for row in rows} - {None}
    assert reasons <= set(Reason)
    assert all(row["message"] for row in rows if row["reason"])
    if kind == "tar":
        _check_tar(seed, data, touched, rows)
    elif reasons != {"unreadable_file"}:
        _check_parquet(data, rows)
    return "sound" if not reasons else "damaged"


def _check_tar(seed: Seed, data: bytes, touched: list[Span], rows: list[dict[str, object]]) -> None:
    walker = Walker(io.BytesIO(data), OPTIONS.max_member_bytes, chunk=1 << 12)
    spans: list[Span] = []
    for item in walker:
        size = item.size if isinstance(item, Member) else item.length
        spans.append((item.offset, item.offset + size))
        if isinstance(item, Damage) and item.name is None:
            assert any(row["error_offset"] == item.offset for row in rows)
    assert sum(walker.spans.values()) == len(data)
    stops = (*seed.starts[1:], len(seed.data))
    for sample, (start, stop) in enumerate(zip(seed.starts, stops, strict=True)):
        whole = all(stop <= low or high <= start for low, high in touched)
        covered = any(low <= start < high or start <= low < stop for low, high in spans)
        assert covered or not whole, f"sample {sample} is lost without a trace"


def _check_parquet(data: bytes, rows: list[dict[str, object]]) -> None:
    count = pq.read_metadata(io.BytesIO(data)).num_rows
    assert len(rows) == count
    assert [row["file_row"] for row in rows] == list(range(count))
