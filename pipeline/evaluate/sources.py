"""Sources of test pairs: a share of the run's own, some values of a column, other runs, or input files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms.contrastive import Sides
from tamis.pipeline.algorithms.order import by_uid
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.evaluate import holdout
from tamis.pipeline.evaluate.foreign import open_holdout
from tamis.pipeline.evaluate.holdout import Holdout
from tamis.pipeline.evaluate.known import known_to
from tamis.pipeline.evaluate.pairs import Pairs, read
from tamis.pipeline.evaluate.students import HEADS, Student
from tamis.schemas.errors import JobError
from tamis.schemas.nearest import nearest

Mask = npt.NDArray[np.bool_]

BY = "="
"""Between the column and its values in ``--holdout-by``."""

SHARE = "0.2"
"""What is held out where nothing is said."""

LEAST_TARGET = 16
"""Pairs of a target, at least: a batch of fewer would hold hardly any wrong answers."""

SHOWN = 20
"""Values of a column that an error names, at most."""

FEW_TESTED = 200
"""Number of test pairs below which a warning is due: with 200, R@10 varies by 0.03 by chance."""


@dataclass(frozen=True)
class HeldOut:
    """The choice of test pairs: ``places``, each a share in (0, 1), a run, or input files; or values of a column."""

    places: tuple[str, ...] = (SHARE,)
    column: str | None = None
    values: tuple[str, ...] = ()

    @classmethod
    def parse(cls, places: Sequence[str], by: str | None) -> HeldOut:
        """Read the options ``--holdout`` and ``--holdout-by``.

        Raises:
            JobError: both, a share out of range, or beside another place; a column without values.
        """
        if by is None:
            return cls(_places(places) or (SHARE,))
        if places:
            raise JobError("--holdout and --holdout-by: say one of the two")
        column, mark, told = by.partition(BY)
        values = tuple(dict.fromkeys(value.strip() for value in told.split(",") if value.strip()))
        if not mark or not column or not values:
            raise JobError(
                f"--holdout-by '{by}': a column and some of its values: set=iconoir,heroicons"
            )
        return cls((), column, values)

    @property
    def share(self) -> float | None:
        """The share of the run's own pairs; None where they come from elsewhere."""
        return None if self.column is not None else share_of(self.places[0])

    def __str__(self) -> str:
        return f"{self.column}={','.join(self.values)}" if self.column else ", ".join(self.places)


def _places(places: Sequence[str]) -> tuple[str, ...]:
    shares = [place for place in places if share_of(place) is not None]
    if shares and len(places) > 1:
        raise JobError(
            f"--holdout {shares[0]}: a share stands alone; of several sources each is a run or input files"
        )
    return tuple(dict.fromkeys(places))


def share_of(text: str) -> float | None:
    """The share that a place gives; None if it is not a number.

    Raises:
        JobError: a number that is no share.
    """
    try:
        share = float(text)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise JobError(f"--holdout {text}: a share lies between 0 and 1, such as 0.2")
    return share


class Division(NamedTuple):
    """The pairs, foreign ones included; a holdout a seed; how many of the pairs are the run's; and notes."""

    pairs: Pairs
    holdouts: list[Holdout]
    own: int
    notes: list[str]


def held_out(
    run: FinishedRun,
    asked: HeldOut,
    signals: list[str],
    classes: str | None,
    seeds: Sequence[int],
    target: str | None = None,
    student: Student = HEADS,
) -> Division:
    """Hold out what is asked for, but nothing that the run's steps have chosen for, or of the run ``target``; with what
    ``student`` reads of all pairs.

    Raises:
        JobError: nothing there, embedded otherwise, or too little to measure on.
    """
    pairs = read(run, signals, classes, origin=asked.column, seen=student.seen_in(run))
    own = len(pairs)
    sources: dict[str, Mask] = {}
    if asked.share is None and asked.column is None:
        pairs, sources = _foreign(run, pairs, asked.places, student, classes)
    else:
        pairs = _in_order(pairs)
    if asked.column is not None:
        sources = _of_column(pairs, asked.column, asked.values)
    group = holdout.groups(pairs)
    known, told = known_to(run, pairs, target)
    if asked.share is not None:
        made = [holdout.by_share(pairs, group, asked.share, seed, known) for seed in seeds]
    else:
        made = holdout.by_source(pairs, group, sources, seeds, known)
    return Division(pairs, made, own, told)


def target_pairs(run: FinishedRun, path: str) -> tuple[str, Sides]:
    """The directory of a target's run, and its kept pairs; input files are embedded first.

    Raises:
        JobError: embedded otherwise, or in another width; or it kept too little to train on.
    """
    other = open_holdout(run, path, "--target")
    found = read(other, [])
    kept = found.take(found.kept).sides()
    if len(kept.image) < LEAST_TARGET:
        raise JobError(
            f"--target {path}: {len(kept.image):,} pairs, and at least {LEAST_TARGET} are needed to train on: give more"
        )
    return other.root, kept


def _of_column(pairs: Pairs, column: str, values: Sequence[str]) -> dict[str, Mask]:
    known = {value for value in pairs.origin.tolist() if value is not None}
    found = {}
    for value in values:
        written = value if value in known else whole(value)
        if written not in known:
            raise JobError(
                f"--holdout-by {column}={value}: no pair has that value"
                f"{nearest(value, sorted(known), SHOWN)}"
            )
        found[written] = np.asarray(pairs.origin == written, dtype=bool)
    return found


def whole(value: str) -> str:
    """A number without fractions as it is written of a column of numbers, `3` for `3.0`; other text as it is."""
    try:
        number = float(value)
    except ValueError:
        return value
    return str(int(number)) if number.is_integer() else value


def _foreign(
    run: FinishedRun,
    pairs: Pairs,
    places: Sequence[str],
    student: Student,
    classes: str | None,
) -> tuple[Pairs, dict[str, Mask]]:
    """The run's pairs and those of all places, in the order of uids; and which are of which place."""
    joined, code = pairs, np.full(len(pairs), -1)
    names = _names(places)
    for number, place in enumerate(places):
        other = open_holdout(run, place, also=() if student.compared else (student.embed,))
        found = read(other, [], classes, holdout.TESTED * 10, seen=student.seen_in(other))
        theirs = _unchosen(found, pairs, place)
        # A sample may be in several runs under one uid: a foreign one's is told apart by some bits.
        theirs.uid[:, 0] ^= np.uint64(1 << 63 | number << 40)
        joined = joined.joined(theirs)
        code = np.concatenate([code, np.full(len(theirs), number)])
    order = by_uid(joined.uid)
    joined, code = joined.take(order), code[order]
    return joined, {name: code == number for number, name in enumerate(names)}


def _unchosen(theirs: Pairs, pairs: Pairs, place: str) -> Pairs:
    """Foreign pairs, with the columns that ``pairs`` have, such that no selector takes them."""
    if theirs.image.shape[1] != pairs.image.shape[1]:
        raise JobError(
            f"--holdout {place}: has embeddings of {theirs.image.shape[1]} dimensions, the run of "
            f"{pairs.image.shape[1]}: use the same encoder"
        )
    none = np.zeros(len(theirs), dtype=bool)
    return replace(
        theirs,
        signals=np.full((len(theirs), pairs.signals.shape[1]), np.nan),
        candidate=none,
        kept=none,
        cluster=np.full(len(theirs), -1, np.int32),
    )


def _names(places: Sequence[str]) -> list[str]:
    """A short name of each place: its last component, where no other has the same."""
    short = [os.path.basename(place.rstrip("/")) or place for place in places]
    return [
        name if short.count(name) == 1 else place for name, place in zip(short, places, strict=True)
    ]


def _in_order(pairs: Pairs) -> Pairs:
    return pairs.take(by_uid(pairs.uid))


def notes(asked: HeldOut, splits: Mapping[str, int]) -> list[str]:
    """Warnings about the sources: a share favours random choice, few pairs measure little."""
    found = []
    if asked.share is not None:
        found.append(
            "the holdout is a share of the pool itself, which favours random choice: it has the pool's own skew. "
            "Another source says more: --holdout-by COLUMN=VALUE, or --holdout RUN"
        )
    found += [
        f"only {count:,} pairs of {name} to measure on: differences of a few hundredths are noise"
        for name, count in splits.items()
        if count < FEW_TESTED
    ]
    return found
