"""Tars for tests, made by the standard library, and the walk as a plain list."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

from tamis.pipeline.inputs.tar.walker import Damage, Member, Walker


def make_tar(
    members: Iterable[tuple[str, bytes]], form: int = tarfile.USTAR_FORMAT, end: bool = True
) -> bytes:
    """A tar of regular members; without its end mark and record padding if ``end`` is false."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        size = tar.offset
    return out.getvalue() if end else out.getvalue()[:size]


def header(name: str, size: int = 0, kind: bytes = b"0") -> bytes:
    """One USTAR header block."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.USTAR_FORMAT)


def pax_header(*records: tuple[str, str]) -> bytes:
    """A PAX header made by hand."""
    body = b""
    for key, value in records:
        rest = f" {key}={value}\n".encode()
        size = len(rest) + 1
        while len(str(size)) + len(rest) != size:
            size += 1
        body += str(size).encode() + rest
    return header("pax", len(body), b"x") + body.ljust(-(-len(body) // 512) * 512, b"\0")


def walk(
    data: bytes, chunk: int = 1 << 20, max_member_bytes: int = 1 << 28
) -> list[Member | Damage]:
    """Everything in a tar, after checking that every byte was counted once."""
    walker = Walker(io.BytesIO(data), max_member_bytes, chunk)
    found = [
        item._replace(data=memoryview(bytes(item.data))) if isinstance(item, Member) else item
        for item in walker
    ]
    assert walker.size == len(data)
    assert sum(walker.spans.values()) == len(data)
    assert all(span >= 0 for span in walker.spans.values())
    return found


def short(found: list[Member | Damage]) -> list[str]:
    """The names of members, the reasons of damages."""
    return [item.name if isinstance(item, Member) else str(item.reason) for item in found]
