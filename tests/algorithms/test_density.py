"""Complexity, and the whole of density-based pruning against a plain reading of its formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.choosing import density
from tamis.pipeline.algorithms.choosing.ranks import ranks
from tamis.pipeline.algorithms.clusters import kmeans


def unit(n: int, d: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def plain_inter(centroids: NDArray[np.float32], neighbours: int) -> list[float]:
    """One centroid at a time: all distances to the others, sorted, the first l averaged."""
    wide = centroids.astype(np.float64)
    means = []
    for j in range(len(wide)):
        others = sorted(1 - float(wide[j] @ wide[m]) for m in range(len(wide)) if m != j)
        means.append(sum(others[:neighbours]) / neighbours)
    return means


@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 1000), st.data())
def test_inter_is_the_mean_over_the_nearest_other_centroids(
    k: int, d: int, seed: int, data: st.DataObject
) -> None:
    neighbours = data.draw(st.integers(1, k - 1))
    centroids = unit(k, d, seed)
    expected = plain_inter(centroids, neighbours)
    assert density.inter(centroids, neighbours) == pytest.approx(expected, abs=1e-12)


def test_inter_across_blocks_matches_the_plain_reading() -> None:
    centroids = unit(600, 16, 3)
    assert density.inter(centroids) == pytest.approx(plain_inter(centroids, 20), abs=1e-12)


def test_complexity_by_hand() -> None:
    """Three axes are at distance 1 from each other: C = 1 * d_intra."""
    intra = np.array([0.1, 0.2, 0.0])
    assert density.complexity(np.eye(3, dtype=np.float32), intra, 2).tolist() == [0.1, 0.2, 0.0]


def test_one_cluster_has_complexity_0() -> None:
    assert density.complexity(unit(1, 8, 0), np.array([0.3])).tolist() == [0.0]


def test_too_many_neighbours_are_refused_with_the_mend() -> None:
    with pytest.raises(ValueError, match=r"neighbours 20 .* 1\.\.19.*clusters to at least 21"):
        density.inter(unit(20, 8, 0))


def test_intra_that_is_nan_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1 of 3 values of d_intra .* at 1"):
        density.complexity(np.eye(3, dtype=np.float32), np.array([0.1, np.nan, 0.2]), 2)


def test_intra_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 values of d_intra for 3 centroids"):
        density.complexity(np.eye(3, dtype=np.float32), np.zeros(2), 2)


@pytest.mark.parametrize(
    ("row", "text"), [([0.0, 0.0], "length 0,"), ([3.0, 4.0], "length 5,"), ([np.nan, 1], "NaN")]
)
def test_centroids_that_are_not_of_unit_length_are_refused(row: list[float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        density.inter(np.array([[1, 0], row], np.float32), 1)


@given(st.integers(0, 1000), st.integers(1, 300), st.integers(1, 9))
def test_intra_sums_of_parts_add_to_the_same_bits_in_any_order(
    seed: int, n: int, parts: int
) -> None:
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, 7, n).astype(np.int32)
    similarity = rng.uniform(-1, 1, n).astype(np.float32)
    whole = density.intra_sums(cluster, similarity, 7)
    place = rng.integers(0, parts, n)
    pieces = [
        density.intra_sums(cluster[place == part], similarity[place == part], 7)
        for part in rng.permutation(parts)
    ]
    for added, once in zip(zip(*pieces, strict=True), whole, strict=True):
        assert np.sum(added, axis=0).tolist() == once.tolist()
    mean = density.intra(*whole)
    for j in range(7):
        members = similarity[cluster == j].astype(np.float64)
        expected = (1 - members).mean() if members.size else 0.0
        assert mean[j] == pytest.approx(expected, abs=1e-8)


def concepts(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """1,500 embeddings around 30 centres, of different spread and number, and the centres."""
    rng = np.random.default_rng(seed)
    centres = unit(30, 24, seed)
    label = rng.choice(30, 1500, p=rng.dirichlet(np.full(30, 0.7)))
    noise = rng.standard_normal((1500, 24)) * rng.uniform(0.02, 0.3, 30)[label][:, None]
    rows = centres[label] + noise
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), centres


def plain_pruning(
    label: NDArray[np.int32],
    similarity: NDArray[np.float32],
    c: NDArray[np.float32],
    n: int,
    tau: float,
) -> set[int]:
    """The paper's formulas, one line after another, with lambda by bisection; rows kept."""
    k = len(c)
    distance = 1 - similarity.astype(np.float64)
    members = [np.flatnonzero(label == j) for j in range(k)]
    d_inter = np.array(plain_inter(c, 20))
    d_intra = np.array([distance[m].mean() if len(m) else 0 for m in members])
    size = np.array([len(m) for m in members])
    weight = np.where(size > 0, np.exp(d_inter * d_intra / tau), 0)
    p = weight / weight.sum()
    lower = np.maximum(np.minimum(1, size - 1), 0)
    low, high = -10.0 * len(label), 10.0 * len(label)
    for _ in range(200):
        middle = (low + high) / 2
        if np.clip(n * p + middle, lower, size).sum() < n:
            low = middle
        else:
            high = middle
    quota = np.clip(n * p + high, lower, size)
    whole = np.floor(quota + 1e-9).astype(int)
    by_remainder = sorted(range(k), key=lambda j: (-(quota[j] - whole[j]), j))
    for j in by_remainder[: n - whole.sum()]:
        whole[j] += 1
    kept: set[int] = set()
    for j, rows in enumerate(members):
        farthest = sorted(rows.tolist(), key=lambda row: -distance[row])
        kept.update(farthest[: whole[j]])
    return kept


@given(st.integers(0, 10_000), st.sampled_from([0.15, 0.4, 0.8]), st.sampled_from([0.1, 0.5]))
def test_pruning_picks_what_a_plain_reading_of_the_paper_picks(
    seed: int, keep: float, tau: float
) -> None:
    x, centroids = concepts(seed)
    total = int(keep * len(x))
    shuffled = np.random.default_rng(seed + 1).permutation(len(x))
    uid = np.stack([np.zeros(len(x)), np.arange(len(x))], axis=1).astype(np.uint64)
    label, cosine = kmeans.assign(x, centroids)
    cluster, similarity = label[shuffled], cosine[shuffled]
    sums, counts = density.intra_sums(cluster, similarity, 30)
    complexity = density.complexity(centroids, density.intra(sums, counts))
    quota = density.quotas(complexity, counts, total, tau)
    rank = ranks(cluster, 1 - similarity, uid[shuffled])
    kept = set(shuffled[rank <= quota[cluster]].tolist())
    assert len(kept) == total
    assert kept == plain_pruning(label, cosine, centroids, total, tau)


def test_no_distance_is_below_zero() -> None:
    """Vectors of halves are up to a thousandth longer than 1."""
    sums, counts = density.intra_sums(np.array([0, 1]), np.array([1.0001, 0.5], np.float32), 3)
    assert density.intra(sums, counts).tolist() == [0.0, 0.5, 0.0]
    twins = np.array([[1, 0], [1, 0]], np.float32) * np.float32(1.0000001)
    assert (density.inter(twins, 1) >= 0).all()
