"""Formats of files whose names say another, known by their first bytes; and the mend."""

from __future__ import annotations

from collections.abc import Mapping

OTHER_FORMATS: Mapping[bytes, str] = {
    b"\x1f\x8b": "gzip: unpack it first (gunzip)",
    b"BZh": "bzip2: unpack it first (bunzip2)",
    b"\xfd7zXZ": "xz: unpack it first (unxz)",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it first (unzstd)",
    b"PK\x03\x04": "zip: repack it as tar",
    b"PAR1": "parquet: name it .parquet",
    b"version https://git-lfs": "a pointer of Git LFS: fetch what it points to first (git lfs pull)",
    b"<!DOCTYPE": "a web page: its download has failed, fetch it again",
    b"<!doctype": "a web page: its download has failed, fetch it again",
    b"<html": "a web page: its download has failed, fetch it again",
}

OTHER_TEXT: Mapping[bytes, str] = {
    b"\xff\xfe": "UTF-16: write it as UTF-8 first (iconv -f UTF-16 -t UTF-8)",
    b"\xfe\xff": "UTF-16: write it as UTF-8 first (iconv -f UTF-16 -t UTF-8)",
}


def named(data: bytes) -> str | None:
    """A word about a file that is no text in UTF-8, with the mend; None where its first bytes say nothing."""
    for start, said in {**OTHER_FORMATS, **OTHER_TEXT}.items():
        if data.startswith(start):
            return f"the file is {said}"
    return None


def unmarked(data: bytes) -> str | None:
    """A word about text in UTF-16 that lacks its mark, with the mend; None where it is none."""
    zeros = [byte == 0 for byte in data[:4]]
    if zeros not in ([True, False] * 2, [False, True] * 2):
        return None
    order = "BE" if zeros[0] else "LE"
    return f"the file is UTF-16 without its mark: write it as UTF-8 first (iconv -f UTF-16{order} -t UTF-8)"


def decoded(data: bytes) -> str:
    """Text from UTF-8, without its byte order mark.

    Raises:
        ValueError: it is no UTF-8; if its first bytes say what it is, so does the message.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        told = f"not UTF-8 at byte {error.start:,}: write it as UTF-8 first (iconv -f WINDOWS-1252 -t UTF-8)"
        raise ValueError(named(data) or told) from None
