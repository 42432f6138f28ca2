"""Functions of several steps: living rows, verdict tables, the choice of an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline import encoders
from tamis.pipeline.inputs.formats import outline
from tamis.pipeline.inputs.images import ImageDamage
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import InputError, JobError, StateError
from tamis.schemas.job import Job
from tamis.schemas.nearest import nearest
from tamis.schemas.tables import DROPS


def embedding_named(job: Job, wanted: str | None, step: str) -> str:
    """The name of the embedding that a step reads.

    Raises:
        JobError: no embedding, none of that name, or two and no name.
    """
    names = [embed.makes_embedding for embed in job.embeds]
    if wanted is not None:
        if wanted not in names:
            raise JobError(f"{step}: no embedding `{wanted}`{nearest(wanted, names)}")
        return wanted
    if not names:
        raise JobError(f"{step}: needs an embedding: put an `embed` step before it")
    if len(names) > 1:
        raise JobError(f"{step}: two embeddings ({', '.join(names)}): say which with `embedding:`")
    return str(names[0])


def embeds_captions(job: Job, embed: Any) -> bool:
    """Whether a step that embeds, by its settings, makes vectors of captions too."""
    if not job.has_captions:
        return False
    if embed.takes_embeddings:
        if embed.taken_embedding:
            given = (entry.embeddings.get(embed.taken_embedding) for entry in job.input)
            return all(one is not None and one.text is not None for one in given)
        return all(entry.features or entry.text_embeddings for entry in job.input)
    return encoders.describe(embed.spec, embed.precision).has_text


def picture_changed(file: InputFile, damage: ImageDamage) -> InputError:
    """The error of a picture that ingest could read, and that is damaged now."""
    return InputError(
        f"`{storage.redact(file.path)}`: a picture that was whole is no longer ({damage.message}): "
        "the file has changed; run again with --accept-changed"
    )


def nothing_reaches(step: str) -> JobError:
    """The error of a step that no sample reaches."""
    return JobError(f"{step}: no sample reaches the step: loosen what stands before it")


def drops(io: TaskIo[Any], rows: npt.NDArray[Any], reason: Any, **columns: Any) -> pa.Table:
    """A verdict over one part: ``rows`` dropped for ``reason`` (one, or one a row); counts them by reason.

    ``columns`` are those of DROPS, arrays aligned with ``rows``; the others are null.

    Raises:
        StateError: a row is dropped twice by the same verdict.
    """
    order = np.argsort(rows, kind="stable")
    ordered = np.asarray(rows, dtype=np.uint32)[order]
    if len(ordered) > 1 and (ordered[1:] == ordered[:-1]).any():
        raise StateError(f"{io.path}: a row is dropped twice")
    reasons = (
        [str(reason)] * len(ordered) if isinstance(reason, str) else [str(reason[i]) for i in order]
    )
    for name in set(reasons):
        io.count(**{name: reasons.count(name)})
    arrays = []
    for field in DROPS:
        if field.name == "row":
            arrays.append(pa.array(ordered, field.type))
        elif field.name == "reason":
            arrays.append(pa.array(reasons, field.type))
        else:
            arrays.append(_column(columns.get(field.name), order, field.type))
    return pa.Table.from_arrays(arrays, schema=DROPS)


def _column(values: Any, order: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    if values is None:
        return pa.nulls(len(order), kind)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    array = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return array.cast(kind).take(pa.array(order))


def area(table: pa.Table) -> npt.NDArray[np.int64]:
    """Pixels of each picture, int64 (n,), from the columns ``width`` and ``height``; 0 where one is null."""
    width, height = (
        table[side].fill_null(0).to_numpy().astype(np.int64) for side in ("width", "height")
    )
    pixels: npt.NDArray[np.int64] = width * height
    return pixels


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
