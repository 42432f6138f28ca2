"""Tars whose samples are torn apart: all pictures first, then all captions, or each kind in a folder of its own."""

from __future__ import annotations

import pyarrow as pa

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.suffixes import CAPTION, META
from tamis.pipeline.inputs.tar.webdataset import split_name
from tamis.pipeline.store import storage

SORT = (
    "python -c \"import tarfile; a = tarfile.open('{path}'); b = tarfile.open('{made}', 'w'); "
    '[b.addfile({member}, a.extractfile(m)) for m in sorted(a, key=lambda m: {key}) if m.isfile()]; b.close()"'
)

TAIL_BYTES, BLOCK = 1 << 20, 512
"""The end of a tar that is looked at, and the bytes of a block."""

WITHOUT_FOLDER = "m.name.rpartition('/')[2]"


def mend(file: InputFile, rows: pa.Table) -> str | None:
    """The command that brings a tar's samples together, where its first rows show that most are in pieces.

    Args:
        file: the tar.
        rows: its first, of schema INGEST.
    """
    members = rows["members"].to_pylist()
    if sum(len(one or ()) == 1 for one in members) * 2 < len(members):
        return None
    pictures: set[str] = set()
    texts = set(_last_texts(file))
    for key, offset in zip(rows["key"].to_pylist(), rows["image_offset"].to_pylist(), strict=True):
        (texts if offset is None else pictures).add(key)
    if pictures & texts:
        said, key, member = "do not stand side by side", "m.name", "m"
    elif set(map(_base, pictures)) & set(map(_base, texts)):
        said, key = "stand in folders of their own", WITHOUT_FOLDER
        member = f"m.replace(name={WITHOUT_FOLDER}, deep=False)"
    else:
        return None
    path = storage.redact(file.path)
    made = f"{path.removesuffix('.tar')}-sorted.tar"
    return f"the members of a sample {said}: sort the tar: {SORT.format(path=path, made=made, key=key, member=member)}"


def _base(key: str) -> str:
    return key.rpartition("/")[2]


def _last_texts(file: InputFile) -> list[str]:
    """The keys of captions and json at the end of a tar: pictures that come first may be more than are looked at."""
    size = storage.stat(file.path).size
    start = max(0, size - TAIL_BYTES) // BLOCK * BLOCK
    (tail,) = storage.read_blocks(file.path, [(start, size - start)])
    keys = []
    for place in range(0, len(tail), BLOCK):
        header = bytes(tail[place : place + BLOCK])
        if header[257:262] == b"ustar" and header[156:157] in b"\0" + b"0":
            name = header[:100].partition(b"\0")[0].decode("utf-8", "replace")
            key, suffix = split_name(name)
            if suffix.lower() in {CAPTION, META}:
                keys.append(key)
    return keys
