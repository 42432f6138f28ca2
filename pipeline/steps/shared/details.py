"""Details of pictures that are opened once more, in a run or in another one."""

from __future__ import annotations

import pyarrow as pa

from tamis.pipeline.inputs.detail import detail_of
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.images import ImageDamage
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.shared.pictures import picture_changed


def details_of(file: InputFile, table: pa.Table, max_pixels: int) -> list[bytes]:
    """The detail of each picture of some samples of a file, in their order.

    Args:
        file: that they are in; it is not opened where the table has no row, for it may have no pictures at all.
        table: their PICTURE_COLUMNS, in the order of the file.
        max_pixels: as ``detail_of``.

    Raises:
        InputError: a picture is not the one that ingest read.
    """
    if not table.num_rows:
        return []
    try:
        return [detail_of(data, max_pixels) for data in format_of(file).pictures(file, table)]
    except ImageDamage as damage:
        raise picture_changed(file, damage) from damage
