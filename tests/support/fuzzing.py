"""Seeded mutations of good input files, and what must hold of every one of them."""

from __future__ import annotations

import csv
import io
import json
import random
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipeline.inputs.columns import whole
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.json_files import is_list
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.inputs.tar.walker import Damage, Member, Walker
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, TamisError
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
    more = {"progressive": True} if form == "JPEG" and number > 6 else {}
    picture = encode(noise(16 + number, 12, seed=number), form, **more)
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
    table = pa.table(
        {
            "image": images,
            "TEXT": captions,
            "URL": captions,
            "width": range(SAMPLES),
            "tags": [[caption] * number for number, caption in enumerate(captions)],
            "exif": [{"camera": {"iso": number}} for number in range(SAMPLES)],
        }
    )
    pq.write_table(table, out, row_group_size=group, **options)
    return Seed("x.parquet", out.getvalue())


def _json_lines(mark: bytes, end: bytes) -> Seed:
    rows = [
        {"caption": f"caption {number}", "url": f"http://x/{number}", "n": [number, {"a": "é"}]}
        for number in range(SAMPLES)
    ]
    lines = [json.dumps(row, ensure_ascii=bool(number % 2)) for number, row in enumerate(rows)]
    return Seed("x.jsonl", mark + end.join(line.encode() for line in lines) + end)


def _json_list(end: bytes) -> Seed:
    lines = _json_lines(b"", b"\n").data.splitlines()
    return Seed("x.jsonl", b"[" + end.join(lines) + b"]")


def _csv(delimiter: str) -> Seed:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["caption", "url", "n", "note"])
    for number in range(SAMPLES):
        note = 'two\nlines, "quoted"' if number % 3 == 0 else "é"
        writer.writerow([f"caption {number}", f"http://x/{number}", number, note])
    return Seed("x.csv", out.getvalue().encode())


@cache
def seeds() -> tuple[Seed, ...]:
    """Tars of three forms; parquet files with and without checksums and dictionaries; tables of text."""
    return (
        _tar(tarfile.USTAR_FORMAT),
        _tar(tarfile.GNU_FORMAT),
        _tar(tarfile.PAX_FORMAT),
        _parquet(3, nested=False),
        _parquet(8, nested=True, write_page_checksum=True),
        _parquet(2, nested=False, use_dictionary=False, compression="zstd"),
        _parquet(4, nested=True, data_page_version="2.0", compression="brotli"),
        _json_lines(b"", b"\n"),
        _json_lines(b"\xef\xbb\xbf", b"\r\n"),
        _json_list(b","),
        _json_list(b",\n  "),
        _csv(","),
        _csv("\t"),
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


def grow(rng: random.Random, data: bytes) -> tuple[bytes, Span]:
    """Put a stretch many times over behind itself, as scans of a JPEG or records of a table may be."""
    at, size = rng.randrange(len(data)), rng.choice([2, 20, 200, 2000])
    again = data[at : at + size] * rng.randrange(1, 100)
    return data[: at + size] + again + data[at + size :], (at, len(data))


ODD = (b"\0", b'"', b"\n", b"\r", b",", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1b]0;x\x07",
       b"NaN", b"1e999", b"-" + b"9" * 400, b"[" * 3000, b"\xe2\x80\xae", b"\xff\xda", b"../")  # fmt: skip
"""What programs stumble over, in text and elsewhere."""


def odd(rng: random.Random, data: bytes) -> tuple[bytes, Span]:
    """Put something odd in between, or in place of as many bytes."""
    at, new = rng.randrange(len(data)), rng.choice(ODD)
    if rng.random() < 0.5:
        return data[:at] + new + data[at + len(new) :], (at, at + len(new))
    return data[:at] + new + data[at:], (at, len(data))


MUTATIONS: tuple[Mutation, ...] = (flip, overwrite, remove, insert, cut, sign, grow, odd)


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
    kind = seed.name.partition(".")[2]
    file = InputFile("input", seed.name, path, kind, len(data))
    reading = ingest_file(file, OPTIONS)
    try:
        parts = list(reading)
    except InputError:
        if kind != "tar":  # a column's name or type has changed
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
    elif kind == "parquet" and reasons != {"unreadable_file"}:
        _check_parquet(data, rows)
    elif kind in {"jsonl", "csv"} and reasons != {"unreadable_file"}:
        _check_text(data, rows, header=kind == "csv")
    for part in parts:
        _read_again(file, part.filter(pc.is_null(part["reason"])))
    return "sound" if not reasons else "damaged"


def _read_again(file: InputFile, rows: pa.Table) -> None:
    """What later steps read of samples that ingest took: all of it, or an error that a person can mend."""
    form, count = format_of(file), rows.num_rows
    with suppress(TamisError):
        schema = form.own_schema(file, rows)
        assert sum(table.num_rows for table in form.own(file, rows, None)) == count
        wanted = {name: kind for name, kind in whole(form.columns(file)).items() if kind}
        found = form.values(file, rows, wanted)
        assert {name: len(column) for name, column in found.items()} == dict.fromkeys(wanted, count)
        for column in found.values():
            column.validate(full=True)
        assert len(set(schema.names)) == len(schema.names)
    if count and rows["image_size"].null_count == 0:
        with suppress(TamisError):
            assert len(list(form.members(file, rows))) == count


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


def _check_text(data: bytes, rows: list[dict[str, object]], *, header: bool) -> None:
    """The records follow each other, and what lies between them is blank; of a JSON list, its commas, its brackets, and
    braces that nothing opens.
    """
    between = b" \t\r\n\f\v" + (b",[]}" if not header and is_list(data[:64]) else b"")
    places = [(row["image_offset"], row["group_row"]) for row in rows]
    start = None if header else 0  # a header is what stands before the first record
    for offset, size in places:
        assert isinstance(offset, int)
        assert isinstance(size, int)
        assert start is None or not data[start:offset].strip(between), "bytes of no record"
        assert start is None or offset >= start, "a byte of two records"
        start = offset + size
    assert start is None or not data[start:].strip(between), "bytes of no record"


def _check_parquet(data: bytes, rows: list[dict[str, object]]) -> None:
    count = pq.read_metadata(io.BytesIO(data)).num_rows
    assert len(rows) == count
    assert [row["file_row"] for row in rows] == list(range(count))
