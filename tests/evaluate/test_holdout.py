"""What is held out shares nothing with the pool: found again by comparing every pair with every other."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from tamis.pipeline.algorithms.near_captions import folding, jaccard, shingles
from tamis.pipeline.algorithms.near_captions.minhash import CAPTION_NGRAM
from tamis.pipeline.evaluate import holdout, sources
from tamis.pipeline.evaluate.holdout import EPSILON, HAMMING, JACCARD, Holdout
from tamis.pipeline.evaluate.pairs import Pairs
from tamis.schemas.errors import JobError
from tests.support.synthetic import captions, meanings, pairs, views

COUNT = 300


def messy(seed: int = 0) -> Pairs:
    """Pairs with copies of pictures, near hashes, repeated and nearly repeated captions, and close embeddings."""
    random = np.random.default_rng(seed)
    image, caption = views(meanings(COUNT, seed))
    image[60:70] = image[50:60] + 1e-3
    texts = captions(COUNT)
    texts[100:120] = texts[80:100]  # equal
    texts[120:140] = [f"{value} x" for value in texts[80:100]]  # nearly
    texts[140:144] = ""  # equal to nothing
    phash = random.integers(0, 2**63, COUNT, dtype=np.uint64)
    phash[200:220] = phash[180:200] ^ np.uint64(0b1011)  # three bits
    sha256 = np.array([f"{i}".encode() for i in range(COUNT)], dtype=object)
    sha256[240:260] = sha256[20:40]
    sha256[290:] = None
    order = random.permutation(COUNT)
    made = pairs(image, caption)
    return replace(
        made,
        text=texts[order],
        phash=phash.astype(object)[order],
        layout=np.array([bytes(162)] * COUNT, dtype=object),
        sha256=sha256[order],
        pixels=sha256[order],
        image=made.image[order],
        caption=made.caption[order],
    )


def shared(made: Pairs, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> int:
    """Pairs of rows, one of ``a`` and one of ``b``, that share anything."""
    told = folding.normalise(made.text.tolist())
    sets = shingles.shingle_sets(told, CAPTION_NGRAM)
    left, right = np.repeat(a, len(b)), np.tile(b, len(a))
    alike = jaccard.pairs(sets, left, right) >= JACCARD
    bits = np.array(
        [
            (int(x) ^ int(y)).bit_count()
            for x, y in zip(made.phash[left], made.phash[right], strict=True)
        ]
    )
    same = np.array(
        [
            x is not None and x == y
            for x, y in zip(made.sha256[left], made.sha256[right], strict=True)
        ]
    )
    close = (made.image[left].astype(float) * made.image[right].astype(float)).sum(axis=1)
    return int((alike | (bits <= HAMMING) | same | (close > 1 - EPSILON)).sum())


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_shared(seed: int) -> None:
    made = messy(seed)
    found = holdout.by_share(made, holdout.groups(made), 0.3, seed)
    assert not shared(made, every(found), found.pool)
    assert check_sum(found) == COUNT


def test_no_two_tested_pairs_share_a_group() -> None:
    made = messy()
    group = holdout.groups(made)
    tested = every(holdout.by_share(made, group, 0.3, 1))
    assert len(set(group[tested].tolist())) == len(tested)


def check_sum(found: Holdout) -> int:
    split = found.split
    assert split.tested == sum(split.sources.values()) == len(every(found))
    assert split.sources == {name: len(rows) for name, rows in found.tested.items()}
    assert split.pool == len(found.pool)
    return split.tested + split.relatives + split.alike + split.undrawn + split.pool


def every(found: Holdout) -> npt.NDArray[np.int64]:
    """All tested rows."""
    return np.concatenate(list(found.tested.values()))


def test_seeds_hold_out_others_and_a_seed_the_same() -> None:
    made = messy()
    group = holdout.groups(made)
    once, twice, other = (holdout.by_share(made, group, 0.3, seed) for seed in (0, 0, 1))
    assert every(once).tolist() == every(twice).tolist()
    assert set(every(once).tolist()) != set(every(other).tolist())


def test_about_the_share_is_held_out() -> None:
    made = pairs(*views(meanings(2000)))
    found = holdout.by_share(made, np.arange(2000), 0.25, 0)
    assert 400 < len(every(found)) < 600


def test_a_large_group_always_trains() -> None:
    made = pairs(*views(meanings(1000)))
    group = np.arange(1000)
    group[:100] = 0
    for seed in range(20):
        tested = every(holdout.by_share(made, group, 0.5, seed))
        assert not np.isin(tested, np.arange(100)).any()


def two_sources() -> tuple[Pairs, dict[str, npt.NDArray[np.bool_]]]:
    """Messy pairs, some of two sources."""
    foreign = np.zeros((2, COUNT), dtype=bool)
    foreign[0, ::5] = foreign[1, 1::7] = True
    foreign[1] &= ~foreign[0]
    return messy(), {"first": foreign[0], "second": foreign[1]}


def test_foreign_sources_take_their_relatives_along() -> None:
    made, sources = two_sources()
    foreign = sources["first"] | sources["second"]
    for found in holdout.by_source(made, holdout.groups(made), sources, range(3)):
        for name, rows in found.tested.items():
            assert sources[name][rows].all()
        assert not foreign[found.pool].any()
        assert not shared(made, every(found), found.pool)
        assert check_sum(found) == COUNT


def test_each_seed_draws_a_pool_of_its_own_for_the_same_test_pairs() -> None:
    made, sources = two_sources()
    group = holdout.groups(made)
    first, second = holdout.by_source(made, group, sources, (0, 1))
    assert every(first).tolist() == every(second).tolist()
    assert set(first.pool.tolist()) != set(second.pool.tolist())
    again = holdout.by_source(made, group, sources, (5, 1))[1]
    assert again.pool.tolist() == second.pool.tolist()
    for found in (first, second):
        whole = found.split.pool + found.split.undrawn
        assert 0.6 * whole < found.split.pool < 0.95 * whole


def test_exchanged_captions_are_those_of_other_pairs_of_the_pool() -> None:
    """Outside the exchange nothing changes; within it nobody keeps his own, and similarities are computed anew."""
    made = pairs(*views(meanings(400)))
    held = holdout.by_share(made, np.arange(400), 0.2, 3)
    found = holdout.exchanged(made, held, 0.4, 1)
    pool, before = found.pool_of(made), made.take(held.pool)
    other = pool.text != before.text
    assert other.sum() == found.split.exchanged == int(0.4 * len(held.pool))
    assert sorted(pool.text.tolist()) == sorted(before.text.tolist())
    for row in range(len(pool)):
        if not other[row]:
            assert (pool.caption[row] == before.caption[row]).all()
            assert (pool.signals[row] == before.signals[row]).all()
            continue
        (giver,) = np.flatnonzero(made.text == pool.text[row])
        assert (pool.caption[row] == made.caption[giver]).all()
        fit = pool.image[row].astype(float) @ made.caption[giver].astype(float)
        assert pool.signals[row, 1] == pytest.approx(fit, abs=1e-5)
        assert pool.signals[row, 0] == before.signals[row, 0]
    assert every(found).tolist() == every(held).tolist()


def test_too_few_to_measure_on_is_an_error() -> None:
    made = pairs(*views(meanings(40)))
    with pytest.raises(JobError, match="at least 20"):
        holdout.by_share(made, np.arange(40), 0.05, 0)


def test_many_values_of_a_column_are_not_all_named() -> None:
    every = pairs(*views(meanings(100)))
    every = replace(every, origin=np.array([f"{n}.5" for n in range(99)] + ["7"], object))
    for asked in ("7", "7.0"):
        assert sources._of_column(every, "size", [asked]).keys() == {"7"}
    with pytest.raises(
        JobError, match=r"no pair has that value; known: .*, and 80 others$"
    ) as told:
        sources._of_column(every, "size", ["word"])
    assert len(str(told.value)) < 300
    long = replace(every, origin=np.array(["", "x" * 5_000] * 50, object))
    with pytest.raises(JobError, match=rf"no pair has that value; known: {'x' * 57}\.\.\.$"):
        sources._of_column(long, "size", ["1"])
    few = replace(every, origin=np.array(["a", "b"] * 50, object))
    with pytest.raises(JobError, match=r"no pair has that value; known: a, b$"):
        sources._of_column(few, "size", ["1"])
