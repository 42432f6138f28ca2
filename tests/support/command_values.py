"""Odd values for the fuzzer of commands: numbers, texts, and files of every bad kind."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.running import picture

SECRET = "hidden0secret"
"""Stands in addresses."""

NUMBERS = (
    "nan",
    "-nan",
    "inf",
    "-inf",
    "-0",
    "0",
    "-1",
    "1",
    "3",
    "0.5",
    "1.5",
    "1e309",
    "-1e309",
    "1e-320",
    "1e9",
    "2**63",
    str(2**63),
    str(2**63 - 1),
    str(-(2**63) - 1),
    str(2**64),
    "9" * 400,
    "9" * 5000,
    "",
    " ",
    "1_0",
    "٣",
    "0x10",
    "1,5",
    "1e",
    "--1",
    "1;2",
    "true",
    "null",
    "[1]",
    "{a: 1}",
)

TEXTS = (
    "",
    " ",
    ".",
    "..",
    "*",
    "?",
    "~",
    "ü",
    "uid",
    "caption",
    "words",
    "density",
    "score",
    "source",
    "kept",
    "a,b",
    ",",
    ",,",
    "a=b",
    "=",
    "x" * 300,
    "x" * 100_000,
    "\x1b]0;pwned\x07",
    "\u202eabc",
    "\x9b31m",
    "line\nline",
    "\ud7ff",
    "\ufffe",
    "[",
    "]",
    "{",
    "}",
    "{0..99999999999}",
    "'",
    '"',
    "`id`",
    "$(id)",
    "%s",
    "{0}",
    "\\",
    "null",
    "-",
    "--",
    "e\u0301",
    "0" * 32,
    "f" * 32,
    "#",
    "&a *a",
    "!!python/name:os.system",
    "sha256",
    "random",
    "random,random",
    "full",
    "a>b>c>d",
    ">",
)

CONDITIONS = (
    "true",
    "false",
    "",
    "1",
    "1/0",
    "words > 1",
    "words > 1e400",
    "words > 'x'",
    "nosuch > 1",
    "uid = 'x'",
    "'",
    "--",
    ";",
    "true; drop table ledger",
    "true) or (true",
    "read_text('/etc/passwd') = ''",
    "(" * 3000,
    "x" * 100_000,
    "\x1b[31m",
    "regexp_matches(caption, '(')",
    "cast('x' as int) = 1",
    "words in (select words from ledger)",
    "kept and words is null",
    "error('hidden')",
    "count(*) > 1",
    "row_number() over () = 1",
    "true order by 1",
    "true limit 1",
    "/* x",
    "null",
    "{}",
    "$1 = 1",
    "? = 1",
    "words = ?",
    "not true",
    "cluster = 0",
    "caption like '%\u202e%'",
)

ADDRESSES = (
    f"s3://AKIA:{SECRET}@bucket/x",
    f"s3a://AKIA:{SECRET}@bucket/x.parquet",
    f"http://me:{SECRET}@127.0.0.1:9/x.npy?sig={SECRET}",
    f"memory://k:{SECRET}@x/y",
    f"ftp://u:{SECRET}@127.0.0.1:9/x",
    f"https://127.0.0.1:9/x?X-Amz-Signature={SECRET}",
    f"nosuch://u:{SECRET}@h/x",
    "file:///proc/nosuch",
    "http://",
    "://",
    "s3://",
    "http://[::1",
    f"u:{SECRET}@http://x",
    f"simplecache::http://u:{SECRET}@127.0.0.1:9/x",
    "data:,x",
    "hf://nosuch",
)


def _npy(header: bytes, data: bytes = b"") -> bytes:
    padded = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + data


def _saved(values: object, *, pickled: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(values), allow_pickle=pickled)
    return out.getvalue()


def _zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def _table(**columns: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=1 << 20)
    return out.getvalue()


def contents() -> dict[str, bytes]:
    """Odd files, by name: every kind that a command reads, each spoilt in its own way."""
    vector = np.linspace(-1, 1, 16).astype(np.float16)
    sound, table = _saved(vector), _table(uid=["0" * 32], url=["http://x"], caption=["a"])
    huge = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s,), }"
    return {
        "empty": b"",
        "zeros": bytes(4096),
        "text": b"one\ntwo\n",
        "latin.txt": b"caf\xe9\n",
        "utf16.txt": "a\n".encode("utf-16"),
        "bom.txt": b"\xef\xbb\xbf" + b"0" * 32 + b"\n",
        "cr.txt": b"a\rb\r",
        "nul.txt": b"a\0b\n",
        "long.txt": b"x" * 5_000_000,
        "escape.txt": b"\x1b]0;pwned\x07\n\xe2\x80\xae\n",
        "cut.npy": sound[:-3],
        "head.npy": sound[:20],
        "more.npy": sound + b"x",
        "vector.npy": sound,
        "nan.npy": _saved(np.full(16, np.nan)),
        "inf.npy": _saved(np.full(16, np.inf)),
        "none.npy": _saved([]),
        "zero.npy": _saved(np.zeros(16)),
        "flat.npy": _saved(3.0),
        "short.npy": _saved(np.ones(5)),
        "int.npy": _saved(np.arange(16)),
        "bool.npy": _saved(np.ones(16, bool)),
        "complex.npy": _saved(np.ones(16, complex)),
        "words.npy": _saved(["a"] * 16),
        "rows.npy": _saved(np.ones((3, 16))),
        "deep.npy": _saved(np.ones((2, 2, 16))),
        "wide.npy": _saved(np.ones((1, 70_000))),
        "pickled.npy": _saved([{"a": 1}], pickled=True),
        "record.npy": _saved(np.zeros(16, [("a", "f4")])),
        "many.npy": _npy(huge % b"1000000000000"),
        "minus.npy": _npy(huge % b"-1"),
        "digits.npy": _npy(huge % (b"9" * 300)),
        "code.npy": _npy(b"__import__('os').system('touch pwned')"),
        "brackets.npy": _npy(b"(" * 3000),
        "type.npy": _npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (16,), }", bytes(128)),
        "pickled.npz": _zipped({"x.npy": _saved([{"a": 1}], pickled=True)}),
        "bomb.npz": _zipped({"x.npy": _saved(np.zeros((40_000, 250)))}),
        "many.npz": _zipped({f"{i}.npy": sound for i in range(3)}),
        "bad.npz": _zipped({"x.npy": sound})[:-30],
        "zip.npz": b"PK\3\4",
        "sound.parquet": table,
        "cut.parquet": table[:-9],
        "middle.parquet": table[:40] + bytes(40) + table[80:],
        "magic.parquet": b"PAR1" + b"\xff" * 40 + b"PAR1",
        "other.parquet": _table(x=[1.5]),
        "empty.parquet": _table(uid=pa.array([], "string")),
        "bomb.parquet": _table(
            uid=pa.DictionaryArray.from_arrays(pa.array([0] * 4_000), ["x" * 1_000_000]),
            url=["http://x"] * 4_000,
        ),
        "nulls.parquet": _table(
            uid=pa.array([None] * 9, "string"), url=pa.array([None] * 9, "string")
        ),
        "binary.parquet": _table(uid=[b"\xff\xfe", b"\0"], caption=[b"\xed\xa0\x80", b"x"]),
        "lists.parquet": _table(uid=[["a"]], url=[{"a": 1}]),
        "picture.png": picture(3),
        "cut.png": picture(3)[:40],
        "x.gif": b"GIF89a",
        "page.html": b"<html><script>alert(1)</script>",
        "job.yaml": b"a: &a [*a]\n",
        "deep.yaml": b"[" * 3000,
        "tabs.yaml": b"\t",
        "latin.yaml": b"name: caf\xe9\n",
        "law.yaml": b"buckets: [nan]\n",
        "list.yaml": b"- 1\n",
        "number.json": b"1e999",
        "deep.json": b"[" * 100_000,
        "x.safetensors": struct.pack("<Q", 2**62) + b"{",
        "head.safetensors": struct.pack("<Q", 20) + b'{"a":{"dtype":"F32"}',
        "list.safetensors": struct.pack("<Q", 2) + b"[]",
        "x.tar": bytes(10240),
        "x.csv": b'a,"b\n',
        "x.jsonl": b'{"caption": \n',
    }


OUTPUTS = (
    "made",
    "made/deeper",
    "../odd/loop/x",
    "../odd/pipe",
    "../odd/text/below",
    "n" * 255,
    "n" * 256,
    "d/" * 2040,
    "../odd",
    "../run",
    "../run/shards",
    "../run/manifest.json/x",
    "/dev/null/x",
    "/proc/nosuch",
    "/dev/fd/9",
)
"""Where something is to be written. Whatever comes of it, no file of the machine is in danger."""


def write_files(folder: Path) -> list[str]:
    """Write them, and what is no plain file: a directory, a pipe, links that lead nowhere. Gives their names."""
    for name, data in contents().items():
        (folder / name).write_bytes(data)
    (folder / "directory").mkdir()
    (folder / "folder.npy").mkdir()
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.npy")
    (folder / "loop").symlink_to("loop")
    (folder / "loop.npy").symlink_to("loop.npy")
    (folder / "nowhere.txt").symlink_to("gone")
    (folder / ("n" * 255)).write_bytes(b"x")
    devices = ["/dev/null", "/dev/full", "/dev/zero", "/proc/self/mem", "/proc/self/environ", "/"]
    odd = ["gone", "gone/deeper", "text/below", "n" * 256, "d/" * 2040, "new\x1b[31m\u202e.txt", ""]
    return [*sorted(os.listdir(folder)), *devices, *odd]
