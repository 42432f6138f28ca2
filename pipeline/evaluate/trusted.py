"""A trusted set beside a pool: pairs of two kinds, a part of which is held out.

Pairs are held out in whole groups of alike ones, so that none that a head is measured on resembles one that it was
fitted on. What the pool shares with the trusted set is taken out of the pool: it would be both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms import order
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.search.wanted import Wanted
from tamis.pipeline.evaluate import holdout
from tamis.pipeline.evaluate.pairs import NothingMetError, Pairs, embedding_of, read
from tamis.schemas.errors import JobError

Mask = npt.NDArray[np.bool_]

HELD = 0.3
"""Share of the groups that are held out."""

TUNED = 0.2
"""Share of the other groups by which the strength of the fit is chosen."""

LEAST = 20
"""Pairs of each kind that are held out, at least: an AUC of fewer says nothing."""

SOURCE = "source"
"""The ledger's column of input files."""


HIDDEN = "{root}: its {pairs:,} embedded pairs are to be shown nowhere: take a pool of others"


@dataclass(frozen=True)
class Marked:
    """The trusted pairs: what another run has kept, or the pool's rows that meet a condition in SQL."""

    run: FinishedRun | None = None
    where: str | None = None


@dataclass(frozen=True)
class Sets:
    """n pairs in the order of their uids, (n,) each; every pair is held out, or tunes, or neither."""

    pairs: Pairs
    trusted: Mask
    held: Mask
    tunes: Mask
    overlap: int  # pairs of the pool that were left out

    def rows(self, mask: Mask, trusted: bool) -> npt.NDArray[np.int64]:
        """The rows of ``mask`` that are trusted, or those that are not."""
        return np.flatnonzero(mask & (self.trusted == trusted))


def read_sets(
    pool: FinishedRun, marked: Marked, signals: Sequence[str], by: str | None, most: int, seed: int
) -> Sets:
    """Both sets, of each at most ``most`` pairs, those with the smallest hashes.

    Args:
        pool: a finished run with embeddings of both sides; all of its embedded pairs belong to the pool, kept or not.
        marked: the trusted set.
        signals: columns of the ledger that become ``Pairs.signals``.
        by: the column of the ledger that tells sources apart; the input's files by default.
        most: pairs of each set.
        seed: of the parts that are held out.

    Raises:
        InputError: a condition that DuckDB refuses.
        JobError: another encoder, too few pairs, or a condition that none or all of them meet.
    """
    origin, names = by or SOURCE, list(signals)
    if marked.run is not None:
        _check_encoders(pool, marked.run)
        nothing = "--trusted {root}: keeps none of its {pairs:,} embedded pairs: take a run that keeps some"
        good = _some(marked.run, names, most, origin, "kept", nothing)
        other = _some(pool, names, most, origin, "true", HIDDEN)
    else:
        condition = f"coalesce(({_checked(pool, marked.where)}\n), false)"
        told = f"--where {marked.where}: ".replace("{", "{{").replace("}", "}}")
        none = told + "none of the {pairs:,} embedded pairs of {root} meets it: trust some of them"
        all_ = (
            told + "all of the {pairs:,} embedded pairs of {root} meet it: leave some in the pool"
        )
        good = _some(pool, names, most, origin, condition, none)
        other = _some(pool, names, most, origin, f"NOT {condition}", all_)
    if good.image.shape[1] != other.image.shape[1]:
        raise JobError(
            f"--trusted: has vectors of {good.image.shape[1]} numbers, the pool of {other.image.shape[1]}: use the "
            "same encoder"
        )
    return split(good, other, seed)


def _some(
    run: FinishedRun, names: list[str], most: int, origin: str, condition: str, nothing: str
) -> Pairs:
    """The run's pairs that meet a condition; ``nothing`` is the error where there is none, with `pairs` and `root`."""
    try:
        return read(run, names, None, most, origin, _shown(run, condition))
    except NothingMetError as met:
        raise JobError(nothing.format(pairs=met.pairs, root=run.root)) from None


def split(good: Pairs, other: Pairs, seed: int) -> Sets:
    """Join the sets and hold out groups of alike pairs, drawn by a hash of seed and uid.

    Raises:
        JobError: of a kind fewer than LEAST pairs are held out, or none is left.
    """
    shared = _shared(good, other)
    joined = good.joined(other.take(~shared))
    trusted = np.arange(len(joined)) < len(good)
    rows = order.by_uid(joined.uid)
    pairs, trusted = joined.take(rows), trusted[rows]
    group = holdout.groups(pairs)
    sizes = np.bincount(group, minlength=len(pairs))
    small = sizes[group] <= max(1, int(holdout.LARGEST * len(pairs)))
    # A group's label is its first row, and so its smallest uid.
    held = small & (_lot(pairs, seed, "fit/held")[group] < HELD)
    tunes = ~held & (_lot(pairs, seed, "fit/tuned")[group] < TUNED)
    sets = Sets(pairs, trusted, held, tunes, int(shared.sum()))
    _check_counts(sets)
    return sets


def _lot(pairs: Pairs, seed: int, purpose: str) -> npt.NDArray[np.float64]:
    return order.uniform(order.hashed(pairs.uid, seed, purpose))


def _check_counts(sets: Sets) -> None:
    for name, kind in (("trusted", True), ("pool", False)):
        held = len(sets.rows(sets.held, kind))
        tuning, rest = (
            len(sets.rows(mask, kind)) for mask in (sets.tunes, ~sets.held & ~sets.tunes)
        )
        if held < LEAST or not tuning or not rest:
            raise JobError(
                f"the {name} set has {held + tuning + rest:,} usable pairs, of which {held:,} can be held out: {LEAST} "
                "different ones are needed, and as many to fit: take a larger set"
            )


def _shared(good: Pairs, other: Pairs) -> Mask:
    """(n,) True for pairs of ``other`` whose sample, or picture, is one of ``good``'s."""
    uids = np.ascontiguousarray(good.uid).view("u8,u8").ravel()
    shared = np.isin(np.ascontiguousarray(other.uid).view("u8,u8").ravel(), uids)
    for known, asked in ((good.sha256, other.sha256), (good.pixels, other.pixels)):
        there = {value for value in known.tolist() if value is not None}
        shared |= np.array([value in there for value in asked.tolist()], dtype=bool)
    return shared


def _checked(run: FinishedRun, where: str | None) -> str:
    if where is None:
        raise JobError(
            "say what is trusted: --trusted RUN, or --where with a condition on the pool"
        )
    Wanted(run, "all", where).close()
    return where


def _shown(run: FinishedRun, condition: str) -> str:
    """The condition, without samples that are to be shown nowhere."""
    hidden = ", ".join(f"'{step.name}'" for step in run.steps if step.redacts)
    return f"({condition}) AND coalesce(step, '') NOT IN ({hidden})" if hidden else condition


def _check_encoders(pool: FinishedRun, trusted: FinishedRun) -> None:
    ours, theirs = embedding_of(pool), embedding_of(trusted)
    if (ours.spec, ours.precision) != (theirs.spec, theirs.precision):
        raise JobError(
            f"--trusted: was embedded by `{theirs.encoder}` ({theirs.precision}), the pool by `{ours.encoder}` "
            f"({ours.precision}): embed both in one way"
        )
