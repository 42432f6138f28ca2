"""The holdout: whole groups of pairs that share a picture, a near-duplicate or a caption, so that nothing leaks.

Groups are drawn, not pairs: to hold out one of a hundred copies, the other ninety-nine would have to leave the pool,
which would deduplicate it for every subset alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.grouping.components import connected
from tamis.pipeline.algorithms.near_captions import folding, search
from tamis.pipeline.algorithms.near_pictures import search as near
from tamis.pipeline.algorithms.shares import rounded_down
from tamis.pipeline.evaluate.pairs import Objects, Pairs
from tamis.schemas.errors import JobError
from tamis.schemas.evaluation import Split

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

JACCARD = 0.8
"""Least Jaccard similarity of captions (character 3-grams) in one group, as in ``near_duplicates``."""

HAMMING = 4
"""Bits by which perceptual hashes of one group differ, at most, as in ``near_pictures``."""

DIFFERENCE = 0.25
"""And their layouts at most so far, which is wider than in ``near_pictures``: a relative is no copy."""

EPSILON = 0.07
"""Pictures with a cosine above 1 - EPSILON to a tested one are in no pool, as in SemDeDup."""

LARGEST = 0.01
"""Share of all pairs above which a group is never held out: it would be most of the holdout."""

TESTED = 2_000
"""Test pairs, at most: retrieval among more is no better a measure, and costs more."""

LEAST_TESTED = 20
"""Test pairs, at least: R@10 among fewer means nothing."""

_BLOCK = 1_024


DRAWN = 0.8
"""Share of the pool that each seed draws where the test pairs are the same for all."""

OWN_POOL = "the run's own pairs"
"""Name of the source of test pairs that a share holds out."""


@dataclass(frozen=True)
class Exchange:
    """Pairs with captions of others: what an unclean pool is like, of a clean one."""

    caption: Ints  # (n,) the row whose caption each pair has; its own outside the exchange
    signals: npt.NDArray[np.float64]  # (n, signals), with the similarities of the new pairs


@dataclass(frozen=True)
class Holdout:
    """Rows of ``Pairs``: the tested ones of each source, and the pool to choose from."""

    tested: Mapping[str, Ints]
    pool: Ints
    split: Split
    exchange: Exchange | None = None

    def pool_of(self, pairs: Pairs) -> Pairs:
        """The pairs of the pool, with the captions that they have there."""
        if self.exchange is None:
            return pairs.take(self.pool)
        caption = self.exchange.caption[self.pool]
        return replace(
            pairs.take(self.pool),
            text=pairs.text[caption],
            caption=pairs.caption[caption],
            signals=self.exchange.signals[self.pool],
        )


def groups(pairs: Pairs) -> Ints:
    """Label of each pair's group, int64 (n,): the smallest row of it.

    Two pairs are joined where their pictures have the same bytes or pixels, or perceptual hashes within ``HAMMING``
    bits and layouts within ``DIFFERENCE``, or their normalised captions are equal or have a Jaccard similarity of
    ``JACCARD``; groups are the connected components, so a chain of such pairs is one.
    """
    edges = [_equal(pairs.sha256), _equal(pairs.pixels), _equal(_keys(pairs.text))]
    found = search.find(pairs.text.tolist(), pairs.uid, JACCARD)
    edges += [(part.a, part.b) for part in found]
    seen = np.flatnonzero(pairs.phash != None)  # noqa: E711 - one comparison for all elements
    if len(seen):
        hashes = np.array([int(value) for value in pairs.phash[seen]], dtype=np.uint64)
        layouts = np.frombuffer(b"".join(pairs.layout[seen]), dtype=np.uint8)
        pictures = near.Pictures(hashes, layouts.reshape(len(seen), -1), HAMMING, DIFFERENCE)
        a, b = near.find(pictures, pairs.uid[seen])
        edges.append((seen[a], seen[b]))
    left, right = (np.concatenate(side) for side in zip(*edges, strict=True))
    return connected(left, right, len(pairs))


def _keys(captions: Objects) -> Objects:
    found = np.empty(len(captions), dtype=object)
    found[:] = [caption or None for caption in folding.normalise(captions.tolist())]
    return found


def _equal(values: Objects) -> tuple[Ints, Ints]:
    """Edges from every row to the first with the same value; None equals nothing."""
    first: dict[Any, int] = {}
    edges = [
        (first.setdefault(value, row), row)
        for row, value in enumerate(values.tolist())
        if value is not None
    ]
    both = np.array(edges, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def by_share(
    pairs: Pairs, group: Ints, share: float, seed: int, known: Mask | None = None
) -> Holdout:
    """Hold out about ``share`` of the groups, drawn by a hash of seed and uid; none with a ``known`` pair, bool (n,).

    Raises:
        JobError: fewer than ``LEAST_TESTED`` pairs would be tested.
    """
    sizes = np.bincount(group, minlength=len(pairs))
    fit = sizes[group] <= max(1, int(LARGEST * len(pairs)))
    if known is not None:
        fit &= ~np.isin(group, group[known])
    lot = order.uniform(order.hashed(pairs.uid, seed, "held out"))
    # The label is the group's first row, and rows are in the order of uids: the lot is its smallest uid's.
    held = fit & (lot[group] < share)
    return _holdout(pairs, group, held, {OWN_POOL: held}, seed)


def by_source(
    pairs: Pairs,
    group: Ints,
    sources: Mapping[str, Mask],
    seeds: Sequence[int],
    known: Mask | None = None,
) -> list[Holdout]:
    """Hold out the pairs of ``sources``, bool (n,) each, and all pairs of their groups; a holdout a seed.

    Pairs of a group with a ``known`` one, bool (n,), are held out and not tested.

    The test pairs are the same for all seeds. The pool is not: each seed draws ``DRAWN`` of it, so that the spread over
    seeds is one over pools too.

    Raises:
        JobError: of a source fewer than ``LEAST_TESTED`` pairs would be tested.
    """
    foreign = np.logical_or.reduce(list(sources.values()))
    held = np.isin(group, group[foreign])
    if known is not None:
        fresh = ~np.isin(group, group[known])
        for name, mask in sources.items():
            if mask.any() and not (mask & fresh).any():
                raise JobError(
                    f"--holdout: all {int(mask.sum()):,} pairs of {name} are of a target that the run has chosen for, "
                    "or akin to one: test with others"
                )
        sources = {name: mask & fresh for name, mask in sources.items()}
    whole = _holdout(pairs, group, held, sources, 0)
    return [_drawn(pairs, whole, seed) for seed in seeds]


def _drawn(pairs: Pairs, whole: Holdout, seed: int) -> Holdout:
    """The holdout with a pool drawn by a hash of seed and uid."""
    lot = order.uniform(order.hashed(pairs.uid[whole.pool], seed, "pool"))
    pool = whole.pool[lot < DRAWN]
    changed = {
        "seed": seed,
        "undrawn": len(whole.pool) - len(pool),
        "pool": len(pool),
        "candidates": int(pairs.candidate[pool].sum()),
    }
    return Holdout(whole.tested, pool, whole.split.model_copy(update=changed))


def exchanged(pairs: Pairs, held: Holdout, share: float, similarity: int | None) -> Holdout:
    """The holdout with a share of the pool's captions passed on in a ring, drawn by a hash of seed and uid.

    ``similarity``: the column of ``Pairs.signals`` that holds the similarity of picture and caption, which is computed
    anew for those pairs; None for none. All other signals stay with their pictures.
    """
    seed = held.split.seed
    keys = order.hashed(pairs.uid[held.pool], seed, "exchanged")
    count = rounded_down(share, len(held.pool))
    rows = held.pool[order.smallest(keys, pairs.uid[held.pool], count)]
    caption = np.arange(len(pairs))
    caption[rows] = np.roll(rows, 1)
    signals = pairs.signals.copy()
    if similarity is not None:
        image, text = (
            side.astype(np.float32) for side in (pairs.image[rows], pairs.caption[caption[rows]])
        )
        signals[rows, similarity] = np.einsum("ij,ij->i", image, text)
    split = held.split.model_copy(update={"exchanged": len(rows)})
    return Holdout(held.tested, held.pool, split, Exchange(caption, signals))


def _holdout(
    pairs: Pairs, group: Ints, held: Mask, sources: Mapping[str, Mask], seed: int
) -> Holdout:
    """The holdout whose pool is what is neither ``held`` nor alike to a tested pair.

    Raises:
        JobError: no pair is left in the pool.
    """
    tested = {
        name: _tested(pairs, group, eligible, seed, name) for name, eligible in sources.items()
    }
    every = np.concatenate(list(tested.values()))
    outside = np.flatnonzero(~held)
    alike = alike_to(pairs.image[outside], pairs.image[every].astype(np.float32))
    pool = outside[~alike]
    if not len(pool):
        raise JobError(
            f"--holdout: none of the {len(pairs):,} pairs is left to train on: {int(held.sum()):,} are held out or "
            f"related to those, {int(alike.sum()):,} show what a tested one shows: hold out pairs that the run has not"
        )
    split = Split(
        seed=seed,
        pairs=len(pairs),
        tested=len(every),
        sources={name: len(rows) for name, rows in tested.items()},
        relatives=int(held.sum()) - len(every),
        alike=int(alike.sum()),
        undrawn=0,
        pool=len(pool),
        exchanged=0,
        candidates=int(pairs.candidate[pool].sum()),
    )
    return Holdout(tested, pool, split)


def _tested(pairs: Pairs, group: Ints, eligible: Mask, seed: int, source: str) -> Ints:
    """A test pair of each group that has eligible ones: the one with the smallest hash; ``TESTED`` at most."""
    rows = np.flatnonzero(eligible)
    key = order.hashed(pairs.uid, seed, "tested")
    rows = rows[np.lexsort((key[rows], group[rows]))]
    _, first = np.unique(group[rows], return_index=True)
    tested = rows[first]
    tested = np.sort(tested[np.argsort(key[tested], kind="stable")[:TESTED]])
    if len(tested) < LEAST_TESTED:
        raise JobError(
            f"--holdout: {len(tested)} pairs to measure on of {source}, of different pictures and captions; at least "
            f"{LEAST_TESTED} are needed: hold out a larger share, or more pairs"
        )
    return tested


def alike_to(image: npt.NDArray[np.float16], others: npt.NDArray[np.float32]) -> Mask:
    """(n,) True for rows (n, d) with a cosine above 1 - ``EPSILON`` to one of ``others`` (m, d)."""
    against = others.T
    near_one = np.zeros(len(image), dtype=bool)
    for start in range(0, len(image), _BLOCK):
        block = image[start : start + _BLOCK].astype(np.float32)
        near_one[start : start + _BLOCK] = (block @ against).max(axis=1) > 1 - EPSILON
    return near_one
