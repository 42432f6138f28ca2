"""Advice for files that are not read, by their endings and first bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tamis.pipeline.inputs import json_files
from tamis.pipeline.inputs.suffixes import OTHER_PICTURES, PICTURES, RAW_PICTURES
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError

CONVERT = 'python -c "import {module}; {call}"'

PANDAS = "pd.{read}('{path}').to_parquet('{stem}.parquet')"
STREAM = "q.write_table(pa.ipc.open_stream('{path}').read_all(), '{stem}.parquet')"
SAVED = "load_from_disk('{folder}').to_parquet('{folder}.parquet')"

LANCE = "q.write_table(lance.dataset('{folder}').to_table(), '{stem}.parquet')"
SQLITE = (
    "pd.read_sql('SELECT * FROM TABLE', sqlite3.connect('{path}')).to_parquet('{stem}.parquet')"
)
AVRO = "pd.DataFrame(fastavro.reader(open('{path}', 'rb'))).to_parquet('{stem}.parquet')"

TABLES = {
    **{
        ending: ("pandas as pd", PANDAS.replace("{read}", read))
        for ending, read in (
            (".feather", "read_feather"),
            (".arrow", "read_feather"),
            (".orc", "read_orc"),
            (".xlsx", "read_excel"),
            (".pkl", "read_pickle"),
            (".pickle", "read_pickle"),
        )
    },
    **dict.fromkeys((".sqlite", ".sqlite3", ".db"), ("sqlite3, pandas as pd", SQLITE)),
    ".avro": ("fastavro, pandas as pd", AVRO),
    ".lance": ("lance, pyarrow.parquet as q", LANCE),
}
"""Ending -> what is imported to read such a table, and how parquet is made of it. TABLE is a name of the user's."""

SHARDED = re.compile(r"-\d{5}-of-\d{5}$")
"""How the names of TFRecord's files end, which have no ending."""

SQLITE_FILE = b"SQLite format 3"
"""The first bytes of a database, for other files end in `.db` too."""

ARROW_FILE = b"ARROW1"
"""The first bytes of Arrow's files; its streams begin otherwise."""

SAVED_STATE = "state.json"
"""Beside the tables that `datasets` saves to a disk."""

FOREIGN = "not read: write parquet of it, with columns image (bytes) and text, or tars by webdataset.TarWriter"

FILM = "a film, of which nothing is read: make pictures of it first (ffmpeg -i FILM -vf fps=1 %05d.jpg)"

UNDECODED = "a picture that is not decoded: make JPEG, PNG or WebP of it"

OTHERS = {
    **dict.fromkeys((f".{ending}" for ending in OTHER_PICTURES | RAW_PICTURES), UNDECODED),
    **dict.fromkeys((".tfrecord", ".tfrecords", ".mds", ".mdb", ".lmdb", ".h5", ".hdf5"), FOREIGN),
    **dict.fromkeys((".beton", ".rec", ".npy", ".npz", ".mat", ".pt", ".ffcv"), FOREIGN),
    **dict.fromkeys((".mp4", ".webm", ".mov", ".avi", ".mkv"), FILM),
    **dict.fromkeys(
        (".part", ".crdownload", ".incomplete"), "a download that has not ended: let it end"
    ),
}
"""Ending -> what is said of files that only their own libraries read, and of unfinished ones."""

UNPACK = {
    ".gz": "gunzip -k '{path}'",
    ".tgz": "gunzip -k '{path}'",
    ".bz2": "bunzip2 -k '{path}'",
    ".xz": "unxz -k '{path}'",
    ".zst": "unzstd '{path}'",
    ".zip": "unzip '{path}' -d '{folder}'",
    ".7z": "7z x '{path}' -o'{folder}'",
    ".rar": "unrar x '{path}' '{folder}/'",
}
"""Ending of a packed file -> the command that unpacks it."""

ENDINGS = tuple(f".{ending}" for ending in PICTURES)
"""Of pictures."""

START = 4096
"""Bytes of a text by which a list is known."""

DELTA = "/_delta_log/"
"""In the path of each file that says which of a Delta table's files count."""

OF_DELTA = (
    "from deltalake import DeltaTable; import pyarrow.parquet as q; "
    "q.write_table(DeltaTable('{folder}').to_pyarrow_table(), '{folder}.parquet')"
)


def advice(path: str) -> str | None:
    """Advice how to convert a file that is not read; None where nothing is known of it, or it is read."""
    name, shown = path.lower(), storage.redact(path)
    if name.endswith(".json"):
        return json_files.advice(storage.absolute(path))
    ending = ".tfrecord" if SHARDED.search(name) else name[name.rfind(".") :]
    if ending in TABLES and (ending != ".db" or _starts_with(path, SQLITE_FILE)):
        converted = _converted(path, ending)
        return f"{ending} is not read: make parquet of it: {converted}"
    if ending in UNPACK:
        whole = f".tar{ending}" if name.endswith(f".tar{ending}") else ending
        command = UNPACK[ending].format(path=shown, folder=_above(shown))
        return f"{whole} is packed, and samples are read from their place in a file: unpack it first: {command}"
    if ending == ".txt":
        return _of_text(path)
    if ending in ENDINGS:
        return (
            "single pictures are read by their folder, in which 1.jpg lies beside its caption 1.txt: name that: "
            f"{_above(shown)}/"
        )
    return f"{ending} is {OTHERS[ending]}" if ending in OTHERS else None


def _of_text(path: str) -> str | None:
    """Advice for a text that lists pictures or their addresses; None for another."""
    if storage.find(path) is None:
        return None
    with storage.open_read(path) as file:
        first = file.read(START).decode("utf-8", "replace").splitlines()[:2]
    shown = storage.redact(path)
    if first and first[0].startswith(("http://", "https://")):
        return (
            "a list of addresses, and nothing is fetched: img2dataset does it, and its result is read: "
            f"img2dataset --url_list '{shown}' --input_format txt"
        )
    cells = [cell.strip('"').lower() for line in first for cell in re.split(r"[\t,;|]", line)[:2]]
    if any(cell.endswith(ENDINGS) for cell in cells):
        ending = "tsv" if "\t" in first[-1] else "csv"
        made = f"{shown.removesuffix('.txt')}.{ending}"
        return (
            f"it seems to list pictures, and a table is read by its ending: mv '{shown}' '{made}'"
        )
    return None


def check_no_delta(paths: Sequence[str], folder: str) -> None:
    """Refuse the folder of a Delta table, some of whose files no longer count.

    Raises:
        InputError: it is one.
    """
    log = next((path for path in paths if DELTA in path), None)
    if log is not None:
        table = storage.redact(log.partition(DELTA)[0])
        command = OF_DELTA.format(folder=table)
        raise InputError(
            f"`{storage.redact(folder)}`: `{table}` is a Delta table, some of whose files no longer count: make one "
            f'file of those that do: python -c "{command}"'
        )


def _above(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _converted(path: str, ending: str) -> str:
    """The command that makes parquet of a table; of all tables of a folder that `datasets` or Lance has saved."""
    module, call = TABLES[ending]
    whole = path
    if ending == ".lance":  # a folder, and in it one of the data
        whole = path.rpartition("/data/")[0] or path
    if ending == ".arrow":
        folder = storage.parent(storage.absolute(path))
        if storage.exists(storage.join(folder, SAVED_STATE)):
            made = SAVED.format(folder=storage.redact(folder))
            return f'python -c "from datasets import load_from_disk; {made}"'
        if not _starts_with(path, ARROW_FILE):
            module, call = "pyarrow as pa, pyarrow.parquet as q", STREAM
    shown = storage.redact(whole)
    filled = call.format(path=shown, folder=shown, stem=shown.removesuffix(ending))
    return CONVERT.format(module=module, call=filled)


def _starts_with(path: str, start: bytes) -> bool:
    """Whether a file begins with these bytes; so it is taken to where it is not there."""
    if storage.find(path) is None:
        return True
    with storage.open_read(path) as file:
        return file.read(len(start)) == start
