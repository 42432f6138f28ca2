"""The pairs that may not be tested: samples of the sets that steps were given as a target, and what is akin to them.

A choice by its likeness to the test would not be tested by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.evaluate import holdout
from tamis.pipeline.evaluate.pairs import Pairs, embedding_of
from tamis.pipeline.steps.shared import vector_sets
from tamis.pipeline.steps.shared.caption_files import captions
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.stored_job import read_job
from tamis.schemas.errors import InputError, JobError, TamisError

Mask = npt.NDArray[np.bool_]

MOST = 100_000
"""Samples of a target whose captions and pictures' hashes are compared, at most; vectors are compared with all."""

HASHES = ("sha256", "pixels", "phash", "layout")


class Known(NamedTuple):
    """(n,) True for pairs that may not be tested; and what a person should know of that."""

    mask: Mask
    notes: list[str]


def known_to(run: FinishedRun, pairs: Pairs, target: str | None = None) -> Known:
    """The pairs that the run's steps have seen as a target, or are of the run ``target``; or that are akin to one.

    Akin is what shares a picture, a near-duplicate or a caption with a target's sample, through others too, or whose
    embedding lies within ``holdout.EPSILON`` of one.
    """
    mask = np.zeros(len(pairs), dtype=bool)
    notes: list[str] = []
    for path in dict.fromkeys([*_aims(run, notes), *([target] if target else [])]):
        shown = storage.redact(path)
        if not storage.exists(storage.absolute(path.partition("#")[0])):
            notes.append(f"the target {shown} is no longer there: test pairs may be of it")
            continue
        try:
            for akin in _akin_to(run, pairs, path):
                mask |= akin
        except (InputError, JobError) as error:
            notes.append(f"not all of the target {shown} could be kept out of the test: {error}")
    if mask.any():
        notes.append(
            f"{int(mask.sum()):,} pairs are a target's or akin to one: they are not tested"
        )
    return Known(mask, notes)


def _aims(run: FinishedRun, notes: list[str]) -> list[str]:
    """The paths of the targets: the manifest has their names alone."""
    if not any(step.aims for step in run.steps):
        return []
    try:
        job = read_job(run.root)
    except TamisError as error:
        notes.append(
            f"test pairs may be of a target: job.yaml, which says where it is, cannot be read: {error}"
        )
        return []
    return list(dict.fromkeys(path for step in job.steps for path in step.aims))


def _akin_to(run: FinishedRun, pairs: Pairs, path: str) -> Iterator[Mask]:
    """(n,) by each way in which pairs can be akin to the target at ``path``.

    Raises:
        InputError, JobError: it cannot be read, or its vectors cannot be compared.
    """
    kind = vector_sets.kind_of(path)
    if kind == "run":
        yield _grouped_with(pairs, _of_run(storage.absolute(path)))
    elif kind == "captions":
        texts = [text for batch in captions(path, None) for text in batch]
        yield _grouped_with(pairs, pa.table({"text": pa.array(texts[:MOST], pa.string())}))
        return
    given = vector_sets.vector_set("evaluate", path, embedding_of(run), run.seed, "image")
    for block in vector_sets.blocks(given, None):
        for side in (pairs.image, pairs.caption):  # a file of vectors may hold either
            if side.shape[1] == block.rows.shape[1]:
                yield holdout.alike_to(side, block.rows)


def _of_run(root: str) -> pa.Table:
    """Captions and hashes of what a run kept; of many samples those of the smallest uids."""
    with sql.connect(open_run(root)) as connection:
        return connection.sql(
            f"SELECT i.text, {', '.join(f'i.{name}' for name in HASHES)} FROM ingest.files AS i "
            f"JOIN ledger AS l USING (sid) WHERE l.kept ORDER BY i.uid LIMIT {MOST}"
        ).to_arrow_table()


def _grouped_with(pairs: Pairs, target: pa.Table) -> Mask:
    """(n,) True for pairs in one group with a row of ``target``, which has captions, and perhaps hashes."""
    count = target.num_rows
    if not count or not len(pairs):
        return np.zeros(len(pairs), dtype=bool)
    uid = np.full((count, 2), 2**64 - 1, np.uint64)
    uid[:, 1] = np.arange(count)
    given: dict[str, Any] = {name: _objects(target[name]) for name in target.column_names}
    nothing = np.full(count, None, dtype=object)
    rows = replace(
        pairs.take(np.zeros(count, np.int64)),
        uid=uid,
        **{name: given.get(name, nothing) for name in HASHES},
        text=_objects(target["text"].fill_null("")),
    )
    group = holdout.groups(pairs.joined(rows))
    return np.isin(group[: len(pairs)], group[len(pairs) :])


def _objects(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    found = np.empty(len(column), dtype=object)
    found[:] = column.to_pylist()
    return found
