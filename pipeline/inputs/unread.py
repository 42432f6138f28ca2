"""Advice for files that are not read, by their endings."""

from __future__ import annotations

CONVERT = "python -c \"import pandas as pd; pd.{read}('{path}').{write}\""

PARQUET = "to_parquet('{stem}.parquet')"
LINES = "to_json('{stem}.jsonl', orient='records', lines=True)"

TABLES = {
    ".json": ("JSON lines", "read_json", LINES),
    ".feather": ("parquet", "read_feather", PARQUET),
    ".arrow": ("parquet", "read_feather", PARQUET),
    ".orc": ("parquet", "read_orc", PARQUET),
    ".xlsx": ("parquet", "read_excel", PARQUET),
}
"""Ending -> what to make of such a table, how pandas reads it, and how it writes that. JSON stays where it is, since
its rows may name pictures beside it.
"""

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".gz", ".zip")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def advice(path: str) -> str | None:
    """Advice how to convert a file whose ending is not read; None where nothing is known of it."""
    name = path.lower()
    for ending, (made, read, write) in TABLES.items():
        if name.endswith(ending):
            written = write.format(stem=path[: -len(ending)])
            convert = CONVERT.format(read=read, path=path, write=written)
            return f"{ending} is not read: make {made} of it: {convert}"
    if name.endswith(PACKED):
        ending = next(ending for ending in PACKED if name.endswith(ending))
        return (
            f"{ending} is packed, and samples are read from their place in a file: unpack it first"
        )
    if name.endswith(PICTURES):
        return (
            "single pictures are read by their folder, in which 1.jpg lies beside its caption 1.txt: name that: "
            f"{path.rpartition('/')[0] or '.'}/"
        )
    return None
