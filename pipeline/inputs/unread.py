"""Advice for files that are not read: a line for each ending that people try."""

from __future__ import annotations

CONVERT = "python -c \"import pandas as pd; pd.{read}.to_parquet('{stem}.parquet')\""

TABLES = {
    ".json": "read_json('{path}')",
    ".feather": "read_feather('{path}')",
    ".xlsx": "read_excel('{path}')",
}
"""Ending -> how pandas reads such a file."""

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".gz", ".zip")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def advice(path: str) -> str | None:
    """Advice how to convert a file whose ending is not read; None where nothing is known of it."""
    name = path.lower()
    for ending, read in TABLES.items():
        if name.endswith(ending):
            convert = CONVERT.format(read=read.format(path=path), stem=path[: -len(ending)])
            return f"{ending} is not read: make parquet of it: {convert}"
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
