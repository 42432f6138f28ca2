"""Near-duplicate pictures: every pair within radius and bound, each once; and what bounded groups leave out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.grouping import buckets, components, leaders
from tamis.pipeline.algorithms.near_pictures import hamming, layouts, search

UInt64Array = NDArray[np.uint64]
Pair = tuple[int, int]


def planted(n: int, seed: int, radius: int = 4, bound: float = 0.11) -> search.Pictures:
    """Pictures around few others: hashes with flipped bits, layouts with some noise; many are equal."""
    draw = np.random.default_rng(seed)
    kinds = max(1, n // 8)
    source = draw.integers(kinds, size=n)
    hashes = draw.integers(0, 2**64, size=kinds, dtype=np.uint64)[source]
    for _ in range(6):
        flip = draw.integers(0, 64, size=n).astype(np.uint64)
        hashes = np.where(draw.random(n) < 0.3, hashes ^ (np.uint64(1) << flip), hashes)
    light = draw.integers(0, 256, (kinds, 16, 16))[source]
    light = light + draw.integers(-2, 3, (n, 16, 16)) * draw.integers(0, 6, (n, 1, 1))
    colour = draw.integers(0, 256, (kinds, 4, 4, 3), dtype=np.uint8)[source]
    rows = layouts.encode(np.clip(light, 0, 255).astype(np.uint8), colour)
    return search.Pictures(hashes, rows, radius, bound)


def with_pixels(pictures: search.Pictures, kinds: int, seed: int) -> search.Pictures:
    """Those of one hash and layout show up to ``kinds`` different pictures."""
    shared = layouts.keys(pictures.layouts, pictures.hashes)
    draw = np.random.default_rng(seed).integers(0, kinds, len(shared)).astype(np.uint64)
    return replace(pictures, pixels=shared + draw)


def uids(n: int, seed: int = 0) -> UInt64Array:
    return np.random.default_rng(seed).integers(0, 2**63, size=(n, 2), dtype=np.uint64)


def all_pairs(pictures: search.Pictures) -> set[Pair]:
    a, b = np.triu_indices(len(pictures.hashes), 1)
    near = np.bitwise_count(pictures.hashes[a] ^ pictures.hashes[b]) <= pictures.radius
    near &= layouts.difference(pictures.layouts, a, b) <= pictures.bound
    return set(zip(a[near].tolist(), b[near].tolist(), strict=True))


def found_among(pictures: search.Pictures, rank: NDArray[np.int64], tasks: int = 1) -> search.Edges:
    members = search.firsts_of_nodes(pictures, rank)
    masks = hamming.masks(len(members), pictures.radius)
    parts = [
        search.tables(pictures, rank, members, masks, range(task, len(masks), tasks))
        for task in range(tasks)
    ]
    return search.Edges(
        np.concatenate([part.a for part in parts]),
        np.concatenate([part.b for part in parts]),
        np.concatenate([part.bits for part in parts]),
        np.concatenate([part.difference for part in parts]),
        sum(part.unsearched for part in parts),
    )


@given(st.integers(2, 80), st.integers(0, 12), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_finds_every_pair_of_distinct_pictures_once(
    n: int, radius: int, tasks: int, seed: int
) -> None:
    pictures = planted(n, seed, radius, 0.3)
    rank = leaders.ranks(uids(n, seed))
    edges = found_among(pictures, rank, tasks)
    members = set(search.firsts_of_nodes(pictures, rank).tolist())
    wanted = {pair for pair in all_pairs(pictures) if members >= set(pair)}
    pairs = [(min(p), max(p)) for p in zip(edges.a.tolist(), edges.b.tolist(), strict=True)]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == wanted
    assert (rank[edges.a] < rank[edges.b]).all()
    difference = layouts.difference(pictures.layouts, edges.a, edges.b)
    assert edges.difference.tolist() == difference.tolist()
    assert edges.unsearched == 0


@pytest.mark.parametrize("dense", [0.0, 2.0])
def test_a_large_group_is_searched_in_blocks(dense: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hashes alone, and with the product of their light before."""
    pictures = planted(300, 3, 8, 0.3)
    pictures = search.Pictures(pictures.hashes & np.uint64(0xFF), pictures.layouts, 8, 0.3)
    rank = leaders.ranks(uids(300))
    wanted = found_among(pictures, rank)
    for name, value in (("_SIDE", 16), ("_DENSE", dense), ("_EDGES", 50)):
        monkeypatch.setattr(search, name, value)
    again = found_among(pictures, rank)
    assert (again.a.tolist(), again.b.tolist()) == (wanted.a.tolist(), wanted.b.tolist())
    assert again.unsearched == 0


def test_a_group_above_the_limit_meets_its_first_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = planted(300, 4, 8, 0.3)
    pictures = search.Pictures(np.zeros(300, np.uint64), pictures.layouts, 0, 0.3)
    rank = leaders.ranks(uids(300))
    whole = found_among(pictures, rank)
    members = search.firsts_of_nodes(pictures, rank)
    first = np.sort(rank[members])[19]
    assert len(members) > 100
    for name, value in (("_SIDE", 8), ("ALL", 50), ("FIRST", 20)):
        monkeypatch.setattr(search, name, value)
    edges = found_among(pictures, rank)
    wanted = {
        (a, b) for a, b in zip(whole.a.tolist(), whole.b.tolist(), strict=True) if rank[a] <= first
    }
    assert set(zip(edges.a.tolist(), edges.b.tolist(), strict=True)) == wanted
    assert edges.unsearched == len(members) - 20


def test_near_copies_of_one_picture_keep_edges_to_the_first_of_them() -> None:
    pictures = planted(8, 1)
    n = 5000
    draw = np.random.default_rng(2)
    rows = np.repeat(pictures.layouts[:1], n, axis=0)
    rows[:, 140] += draw.integers(0, 3, n).astype(np.uint8)
    rows[:, 145:150] += draw.integers(0, 3, (n, 5)).astype(np.uint8)
    pictures = search.Pictures(np.full(n, 9, np.uint64), rows, 4, 0.11)
    rank = leaders.ranks(uids(n))
    edges = found_among(pictures, rank)
    nodes = len(search.firsts_of_nodes(pictures, rank))
    assert len(edges.a) <= buckets.MOST_EDGES * nodes
    assert edges.unsearched == nodes - 1 - buckets.MOST_EDGES
    assert (
        rank[edges.a].max()
        <= np.sort(rank[search.firsts_of_nodes(pictures, rank)])[buckets.MOST_EDGES]
    )


def test_the_edges_do_not_depend_on_the_order_of_rows() -> None:
    pictures, uid = planted(500, 3), uids(500)
    shuffle = np.random.default_rng(1).permutation(500)
    shuffled = search.Pictures(
        pictures.hashes[shuffle], pictures.layouts[shuffle], pictures.radius, pictures.bound
    )
    a, b = search.find(pictures, uid)
    c, d = search.find(shuffled, uid[shuffle])
    assert sorted(zip(a.tolist(), b.tolist(), strict=True)) == sorted(
        zip(shuffle[c].tolist(), shuffle[d].tolist(), strict=True)
    )


@given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_nodes_are_of_the_same_pixels_and_all_pairs_of_others_are_found(
    n: int, kinds: int, seed: int
) -> None:
    pictures = with_pixels(planted(n, seed, 4, 0.2), kinds, seed)
    rank = leaders.ranks(uids(n, seed))
    assert pictures.pixels is not None
    centre, other = search.nodes(pictures, rank)
    assert (pictures.pixels[centre] == pictures.pixels[other]).all()
    first = search.firsts_of_nodes(pictures, rank)
    assert sorted([*first.tolist(), *other.tolist()]) == list(range(n))
    edges = found_among(pictures, rank)
    found = {tuple(sorted(pair)) for pair in zip(edges.a.tolist(), edges.b.tolist(), strict=True)}
    chosen = set(first.tolist())
    assert found == {(a, b) for a, b in all_pairs(pictures) if {a, b} <= chosen}


@pytest.mark.parametrize("count", [search.CROWD, search.CROWD + 1])
def test_a_crowd_of_one_hash_and_layout_is_one_node(count: int) -> None:
    """Under each caption for itself, where captions count."""
    one = planted(8, 1).take(np.zeros(count, np.int64))
    pictures = replace(one, pixels=np.arange(count, dtype=np.uint64))
    crowded = count > search.CROWD
    assert len(np.unique(pictures.keys())) == (1 if crowded else count)
    captions = (np.arange(count) % 2).astype(np.uint64)
    assert len(np.unique(pictures.keys(captions))) == count
    assert captions.tolist() == (np.arange(count) % 2).tolist()


@given(st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_all_edges_have_the_components_of_all_pairs(n: int, seed: int) -> None:
    pictures = planted(n, seed, 8, 0.3)
    a, b = search.find(pictures, uids(n, seed))
    left, right = np.array([*all_pairs(pictures)], dtype=np.int64).reshape(-1, 2).T
    wanted = components.connected(left, right, n)
    assert components.connected(a, b, n).tolist() == wanted.tolist()


def test_a_hundred_thousand_equal_pictures_are_as_many_edges() -> None:
    n = 100_000
    rows = np.zeros((n, layouts.BYTES), dtype=np.uint8)
    pictures = search.Pictures(np.full(n, 42, dtype=np.uint64), rows, 4, 0.11)
    pictures.hashes[7] = 43
    a, b = search.find(pictures, uids(n))
    assert len(a) == n - 1
    assert len(np.unique(components.connected(a, b, n))) == 1


@pytest.mark.slow
@pytest.mark.long
def test_a_hundred_thousand_different_pictures_of_one_hash_all_stay() -> None:
    n = 100_000
    rows = np.random.default_rng(4).integers(0, 256, (n, layouts.BYTES)).astype(np.uint8)
    pictures = search.Pictures(np.full(n, 42, dtype=np.uint64), rows, 0, 0.11)
    edges = found_among(pictures, leaders.ranks(uids(n)))
    assert len(edges.a) == edges.unsearched == 0
