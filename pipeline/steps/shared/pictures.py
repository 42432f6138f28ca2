"""Pictures as several steps ask for them: whether there are any, their areas, and damage since ingest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.inputs.formats import outline
from tamis.pipeline.inputs.images import ImageDamage
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, JobError


def check_pictures(step: str, inputs: Sequence[InputFile], mend: str = "") -> None:
    """Check that some input has pictures.

    Raises:
        JobError: none has; ``mend`` names another way.
    """
    if not any(with_pictures(inputs).values()):
        raise JobError(f"{step}: compares pictures, and no input has any{mend}")


def with_pictures(inputs: Sequence[InputFile]) -> dict[str, bool]:
    """A file of each entry and format, the first that can be read and can tell -> whether it has pictures."""
    answers: dict[tuple[str, str], tuple[str, bool]] = {}
    for file in inputs:
        if (file.entry, file.kind) not in answers and outline(file).refused is None:
            has = outline(file).pictures
            if has is not None:
                answers[file.entry, file.kind] = (file.source, has)
    return dict(answers.values())


def area(table: pa.Table) -> npt.NDArray[np.int64]:
    """Pixels of each picture, int64 (n,), from the columns ``width`` and ``height``; 0 where one is null."""
    width, height = (
        table[side].fill_null(0).to_numpy().astype(np.int64) for side in ("width", "height")
    )
    pixels: npt.NDArray[np.int64] = width * height
    return pixels


def picture_changed(file: InputFile, damage: ImageDamage) -> InputError:
    """The error of a picture that ingest could read, and that is damaged now."""
    return InputError(
        f"`{storage.redact(file.path)}`: a picture that was whole is no longer ({damage.message}): "
        "the file has changed; run again with --accept-changed"
    )
