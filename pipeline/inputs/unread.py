"""Advice for files that are not read, by their endings and first bytes."""

from __future__ import annotations

from tamis.pipeline.inputs import json_files
from tamis.pipeline.store import storage

CONVERT = 'python -c "import {module}; {call}"'

PANDAS = "pd.{read}('{path}').to_parquet('{stem}.parquet')"
STREAM = "q.write_table(pa.ipc.open_stream('{path}').read_all(), '{stem}.parquet')"
SAVED = "load_from_disk('{folder}').to_parquet('{folder}.parquet')"

TABLES = {
    ".feather": "read_feather",
    ".arrow": "read_feather",
    ".orc": "read_orc",
    ".xlsx": "read_excel",
}
"""Ending -> how pandas reads such a table, of which parquet is made."""

ARROW_FILE = b"ARROW1"
"""The first bytes of Arrow's files; its streams begin otherwise."""

SAVED_STATE = "state.json"
"""Beside the tables that `datasets` saves to a disk."""

FOREIGN = "not read: write parquet of it, with columns image (bytes) and text, or tars by webdataset.TarWriter"

OTHERS = {
    **dict.fromkeys((".tfrecord", ".tfrecords", ".mds", ".mdb", ".lmdb", ".h5", ".hdf5"), FOREIGN),
    **dict.fromkeys((".lance", ".sqlite", ".pkl", ".pickle", ".beton", ".rec", ".avro"), FOREIGN),
    **dict.fromkeys(
        (".part", ".crdownload", ".incomplete"), "a download that has not ended: let it end"
    ),
}
"""Ending -> what is said of files with samples in them that only their own libraries read, and of unfinished ones."""

UNPACK = {
    ".gz": "gunzip -k",
    ".tgz": "gunzip -k",
    ".bz2": "bunzip2 -k",
    ".xz": "unxz -k",
    ".zst": "unzstd",
    ".zip": "unzip",
    ".7z": "7z x",
    ".rar": "unrar x",
}
"""Ending of a packed file -> the command that unpacks it."""

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def advice(path: str) -> str | None:
    """Advice how to convert a file that is not read; None where nothing is known of it, or it is read."""
    name, shown = path.lower(), storage.redact(path)
    if name.endswith(".json"):
        return json_files.advice(storage.absolute(path))
    ending = name[name.rfind(".") :]
    if ending in TABLES:
        converted = _converted(path, ending, TABLES[ending])
        return f"{ending} is not read: make parquet of it: {converted}"
    if ending in UNPACK:
        whole = f".tar{ending}" if name.endswith(f".tar{ending}") else ending
        return (
            f"{whole} is packed, and samples are read from their place in a file: unpack it first: "
            f"{UNPACK[ending]} '{shown}'"
        )
    if ending in PICTURES:
        return (
            "single pictures are read by their folder, in which 1.jpg lies beside its caption 1.txt: name that: "
            f"{shown.rpartition('/')[0] or '.'}/"
        )
    return f"{ending} is {OTHERS[ending]}" if ending in OTHERS else None


def _converted(path: str, ending: str, read: str) -> str:
    """The command that makes parquet of a table; of all tables of a folder that `datasets` has saved."""
    module, call = "pandas as pd", PANDAS
    if ending == ".arrow":
        folder = storage.parent(storage.absolute(path))
        if storage.exists(storage.join(folder, SAVED_STATE)):
            made = SAVED.format(folder=storage.redact(folder))
            return f'python -c "from datasets import load_from_disk; {made}"'
        if not _starts_with(path, ARROW_FILE):
            module, call = "pyarrow as pa, pyarrow.parquet as q", STREAM
    stem = storage.redact(path)[: -len(ending)]
    filled = call.format(read=read, path=storage.redact(path), stem=stem)
    return CONVERT.format(module=module, call=filled)


def _starts_with(path: str, start: bytes) -> bool:
    """Whether a file begins with these bytes; so it is taken to where it is not there."""
    if storage.find(path) is None:
        return True
    with storage.open_read(path) as file:
        return file.read(len(start)) == start
