"""Arrow schemas of the tables between the steps, and the names that inputs use for the same column.

A *part* is at most ``part_samples`` consecutive rows of one input file. ``row`` is a sample's position in
its part, from 0; ``sid = part << 32 | row`` is its address in the whole run.
"""

from __future__ import annotations

import pyarrow as pa

UID = pa.binary(16)
"""A sample's name outside the run: 128 bits, written as 32 hex digits for people."""

MEMBER = pa.struct([("suffix", pa.string()), ("offset", pa.int64()), ("size", pa.int64())])
"""A member of a tar: its name behind the key's first dot ("png"), and the offset and number of its bytes."""

PICTURE_LAYOUT = pa.binary(162)
"""A picture's layout, of ``layouts.BYTES`` bytes."""

INGEST = pa.schema(
    [
        pa.field("uid", UID, nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("text", pa.large_string()),
        pa.field("image_format", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("sha256", pa.binary(32)),  # of the picture's bytes
        pa.field("pixels", pa.binary(16)),  # xxh3-128 of the decoded RGBA pixels and their shape
        pa.field("phash", pa.uint64()),  # 64-bit DCT perceptual hash
        pa.field(
            "layout", PICTURE_LAYOUT
        ),  # light and colour of its cells: algorithms.near_pictures.layouts
        pa.field("image_offset", pa.int64()),  # tar: offset of the picture's bytes in the file
        pa.field("image_size", pa.int64()),  # bytes
        pa.field("members", pa.list_(MEMBER)),  # tar: every member of the key, the picture too
        pa.field("row_group", pa.int32()),  # parquet: row group of the row, and its row in it
        pa.field("group_row", pa.int64()),
        pa.field("file_row", pa.int64()),  # row in the parquet file, place among the tar's samples:
        # the row of its embedding
        pa.field("meta", pa.large_string()),  # tar: the json member, as text
        pa.field("reason", pa.string()),  # ledger.Reason if the sample cannot be used
        pa.field("message", pa.string()),
        pa.field("error_offset", pa.int64()),  # bytes from the start of the file
    ]
)
"""One row a sample that the walk met, good or not. One file an input file, one row group a part."""

DROPS = pa.schema(
    [
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("rule", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("bound", pa.float64()),
        pa.field("failed", pa.list_(pa.string())),
        pa.field("partner", UID),
        pa.field("partner_value", pa.float64()),
        pa.field("survivor", UID),
        pa.field("message", pa.string()),
    ]
)
"""A verdict: the rows of one part that a step dropped, sorted by ``row``. All others passed."""


def embedding_type(dim: int) -> pa.DataType:
    """Column type of ``dim`` float16 numbers: raw little-endian bytes, which are read without a copy."""
    return pa.binary(2 * dim)


ALIASES: dict[str, tuple[str, ...]] = {
    "uid": ("uid",),
    "key": ("key", "sample_id", "id"),
    "text": ("text", "caption", "alt_text", "txt"),
    "url": ("url", "image_url"),
    "width": ("width", "original_width", "image_width"),
    "height": ("height", "original_height", "image_height"),
    "image": ("image", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes"),
    "similarity": (
        "similarity",
        "clip_b32_similarity_score",
        "clip_similarity_vitb32",
        "clip_l14_similarity_score",
        "clip_similarity_vitl14",
    ),
    "punsafe": ("punsafe", "nsfw_score", "nsfw_score_opennsfw2"),
    "pwatermark": ("pwatermark", "watermark_score"),
    "aesthetic": ("aesthetic", "aesthetic_score", "aesthetics_score", "aesthetic_score_laion_v2"),
    "language": ("language", "lang"),
}
"""Names of a column in LAION, DataComp, COYO and img2dataset, lower case, the preferred name first."""


def find_column(wanted: str, available: list[str]) -> str | None:
    """The input's own name for the column ``wanted`` or an alias of it, whatever its case; None if it has none.

    Of names that differ in their case alone the one that is written so comes first, else the first.
    """
    by_lower = {name.lower(): name for name in reversed(available)}
    if wanted in available:
        return wanted
    for name in (wanted.lower(), *ALIASES.get(wanted, ())):
        if name in by_lower:
            return name if name in available else by_lower[name]
    return None
