"""k-means: the same bits whatever the slicing and the threads, and Lloyd steps over parts."""

from itertools import pairwise

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.clusters import kmeans


def normalised(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def unit(n: int, d: int, seed: int) -> NDArray[np.float32]:
    return normalised(np.random.default_rng(seed).standard_normal((n, d)))


def around(
    centres: NDArray[np.float32], each: int, spread: float, seed: int
) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    rows = np.repeat(centres.astype(np.float64), each, axis=0)
    return normalised(rows + spread * rng.standard_normal(rows.shape) / np.sqrt(rows.shape[1]))


@pytest.mark.parametrize("dimensions", [3, 37, 64, 513])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_assignment_has_the_same_bits_for_any_slicing_order_and_threads(
    dimensions: int, dtype: type[np.float32]
) -> None:
    rows = unit(5000, dimensions, 1).astype(dtype)
    centroids = unit(301, dimensions, 2)
    cluster, similarity = kmeans.assign(rows, centroids)
    shuffled = np.random.default_rng(3).permutation(len(rows))
    again = kmeans.assign(rows[shuffled], centroids, threads=2)
    assert (again[0] == cluster[shuffled]).all()
    assert (again[1].view(np.uint32) == similarity[shuffled].view(np.uint32)).all()
    for cut in (1, 17, 1024, 3333):
        for piece in (slice(0, cut), slice(cut, None)):
            part = kmeans.assign(rows[piece], centroids, threads=3)
            assert (part[0] == cluster[piece]).all()
            assert (part[1].view(np.uint32) == similarity[piece].view(np.uint32)).all()


def test_assignment_finds_the_largest_product() -> None:
    rows, centroids = unit(3000, 32, 1), unit(90, 32, 2)
    products = rows.astype(np.float64) @ centroids.T.astype(np.float64)
    cluster, similarity = kmeans.assign(rows, centroids)
    assert cluster.dtype == np.int32
    assert similarity.dtype == np.float32
    assert (cluster == products.argmax(axis=1)).all()
    assert np.abs(similarity - products.max(axis=1)).max() < 1e-6


def test_equal_products_go_to_the_smaller_cluster() -> None:
    """Whole numbers make every product exact; each centroid stands three times."""
    rng = np.random.default_rng(4)
    centroids = np.tile(rng.integers(-3, 4, (700, 16)).astype(np.float32), (3, 1))
    rows = rng.integers(-3, 4, (500, 16)).astype(np.float32)
    assert (kmeans.assign(rows, centroids)[0] == (rows @ centroids.T).argmax(axis=1)).all()


def test_assignment_leaves_the_callers_threads_alone() -> None:
    before = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(2)
        kmeans.assign(unit(10, 4, 0), unit(3, 4, 1))
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)


def test_an_empty_part_is_assigned() -> None:
    cluster, similarity = kmeans.assign(np.empty((0, 4), np.float32), unit(3, 4, 1))
    assert (cluster.shape, similarity.shape) == ((0,), (0,))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_refused(value: float) -> None:
    rows = unit(2000, 8, 0)
    rows[1500, 3] = value
    with pytest.raises(ValueError, match=r"1 of 2,000 embeddings .* at row 1,500"):
        kmeans.assign(rows, unit(5, 8, 1))


def test_another_number_of_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 8\) and centroids \(3, 9\)"):
        kmeans.assign(unit(5, 8, 0), unit(3, 9, 1))


def test_usable_rows_are_finite_and_not_zero() -> None:
    rows = unit(3000, 4, 0).astype(np.float16)
    rows[7], rows[2999, 1], rows[1030, 0] = 0, np.nan, np.inf
    assert np.flatnonzero(~kmeans.usable(rows)).tolist() == [7, 1030, 2999]


def test_training_finds_separate_concepts() -> None:
    centres = np.eye(8, 32, dtype=np.float32)
    rows = around(centres, 40, 0.2, seed=1)
    centroids = kmeans.fit(rows, 8, 25, seed=0).centroids
    assert centroids.dtype == np.float32
    assert np.linalg.norm(centroids, axis=1) == pytest.approx(np.ones(8), abs=1e-6)
    cluster, _ = kmeans.assign(rows, centroids)
    assert np.unique(cluster).size >= 7  # a start may put two centroids into one concept
    assert (cluster.reshape(8, 40) == cluster[::40, None]).all(axis=1).sum() >= 7


def test_training_depends_on_the_seed_and_not_on_the_threads() -> None:
    rows = unit(4000, 24, 1)
    results = [kmeans.fit(rows, 50, 10, 7, threads).centroids for threads in (1, 2, 5)]
    for other in results[1:]:
        assert (results[0].view(np.uint32) == other.view(np.uint32)).all()
    assert (kmeans.fit(rows, 50, 10, seed=8).centroids != results[0]).any()


def test_training_improves_and_records_the_mean_similarity() -> None:
    rows = unit(3000, 16, 2)
    fit = kmeans.fit(rows, 30, 12, seed=1)
    assert len(fit.similarity) == 12
    assert fit.similarity[-1] > fit.similarity[0]
    assert fit.similarity[-1] == pytest.approx(
        kmeans.assign(rows, fit.centroids)[1].mean(), abs=0.01
    )


def test_training_is_as_good_as_that_of_faiss() -> None:
    rows = around(unit(40, 32, 5), 100, 0.6, seed=5)
    theirs = faiss.Kmeans(32, 60, niter=20, seed=1, spherical=True, min_points_per_centroid=1)
    theirs.train(rows)
    found = [
        kmeans.assign(rows, centroids)[1].mean()
        for centroids in (
            kmeans.fit(rows, 60, 20, seed=1).centroids,
            np.asarray(theirs.centroids),
        )
    ]
    assert found[0] > found[1] - 0.01


@pytest.mark.parametrize("iterations", [5, 6, 20, 21])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_what_no_split_divides_ends_early_with_the_centroids_of_all_iterations(
    iterations: int, seed: int
) -> None:
    """The largest cluster is one row thirty times: its halves change places for ever."""
    rows = unit(60, 8, 0)
    rows[:30] = rows[0]
    centroids = kmeans.fit(rows, 20, 1, seed).centroids
    for _ in range(iterations - 1):
        sums, counts = kmeans.partial_sums(rows, kmeans.assign(rows, centroids)[0], 20)
        centroids = kmeans.update(sums, counts, centroids).centroids
    fit = kmeans.fit(rows, 20, iterations, seed)
    assert fit.centroids.tobytes() == centroids.tobytes()
    assert len(fit.similarity) <= min(iterations, 8)


def test_training_ends_where_nothing_moves() -> None:
    rows = around(np.eye(4, 16, dtype=np.float32), 30, 0.01, seed=6)
    fit = kmeans.fit(rows, 4, 100, seed=2)
    assert len(fit.similarity) < 100
    assert (kmeans.fit(rows, 4, 50, seed=2).centroids == fit.centroids).all()


def test_training_uses_every_row_of_the_sample() -> None:
    """Over faiss's own limit of 256 a centroid: the one centroid is the mean of all rows."""
    rows = around(unit(1, 8, 3), 2000, 0.5, seed=3)
    mean = rows.astype(np.float64).sum(axis=0)
    centroid = kmeans.fit(rows, 1, 2, seed=0).centroids[0]
    assert centroid == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_as_many_clusters_as_points_and_float16_are_trained() -> None:
    rows = unit(6, 5, 1).astype(np.float16)
    _, similarity = kmeans.assign(rows, kmeans.fit(rows, 6, 3, seed=0).centroids)
    assert similarity == pytest.approx(np.ones(6), abs=2e-3)


@pytest.mark.parametrize("clusters", [0, 11])
def test_a_number_of_clusters_outside_the_sample_is_refused(clusters: int) -> None:
    with pytest.raises(ValueError, match=f"{clusters} clusters from a sample of 10 embeddings"):
        kmeans.fit(unit(10, 4, 0), clusters, 5, seed=0)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_training_refuses_zero_and_nan_rows(value: float) -> None:
    rows = unit(10, 4, 0)
    rows[3] = value
    with pytest.raises(ValueError, match=r"1 of 10 embeddings .* at row 3"):
        kmeans.fit(rows, 2, 5, seed=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@given(st.integers(0, 1000), st.integers(1, 2500), st.integers(1, 5))
def test_sums_of_parts_add_to_the_same_bits_in_any_order(
    dtype: type[np.float32], seed: int, n: int, parts: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = unit(n, 5, seed).astype(dtype)
    cluster = rng.integers(0, 9, n).astype(np.int32)
    sums, counts = kmeans.partial_sums(rows, cluster, 9)
    place = rng.integers(0, parts, n)
    pieces = [
        kmeans.partial_sums(rows[place == part], cluster[place == part], 9)
        for part in rng.permutation(parts)
    ]
    added = np.sum([piece[0] for piece in pieces], axis=0)
    assert (added.view(np.uint64) == sums.view(np.uint64)).all()
    assert np.sum([piece[1] for piece in pieces], axis=0).tolist() == counts.tolist()
    for j in range(9):
        expected = rows[cluster == j].astype(np.float64).sum(axis=0)
        assert sums[j] == pytest.approx(expected, abs=n * 2.0**-25)


def test_lloyd_steps_over_parts_converge_and_never_get_worse() -> None:
    rows = around(unit(12, 16, 5), 100, 1.0, seed=5)
    centroids, mean, movement = kmeans.fit(rows[::7], 12, 1, seed=0).centroids, [], 1.0
    for _ in range(60):
        cluster, similarity = kmeans.assign(rows, centroids)
        mean.append(float(similarity.mean()))
        parts = [kmeans.partial_sums(rows[i::3], cluster[i::3], 12) for i in range(3)]
        sums = np.sum([part[0] for part in parts], axis=0)
        counts = np.sum([part[1] for part in parts], axis=0)
        centroids, _, movement = kmeans.update(sums, counts, centroids)
    assert movement == 0.0
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(mean))


def test_an_update_is_the_direction_of_the_sum() -> None:
    centroids = np.eye(2, dtype=np.float32)
    step = kmeans.update(np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([6, 2]), centroids)
    assert step.centroids.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 1]]
    assert step.reseeded.tolist() == []
    assert step.movement == pytest.approx((0.4 + 0.0) / 2)


def test_members_that_cancel_leave_their_centroid() -> None:
    centroids = np.eye(2, dtype=np.float32)
    step = kmeans.update(np.array([[0.0, 0.0], [0.0, 2.0]]), np.array([2, 2]), centroids)
    assert step.centroids.tolist() == centroids.tolist()


def test_empty_clusters_split_the_largest_in_turn() -> None:
    """Counts (0, 8, 0, 5): cluster 0 halves 1 (8 to 4), cluster 2 halves 3 (5 to 3 and 2)."""
    old = np.eye(4, dtype=np.float32)
    sums = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 3, 4.0]])
    new, reseeded, movement = kmeans.update(sums, np.array([0, 8, 0, 5]), old)
    assert reseeded.tolist() == [0, 2]
    assert np.linalg.norm(new, axis=1) == pytest.approx(np.ones(4))
    for empty, donor in ((0, 1), (2, 3)):
        direction = sums[donor] / np.linalg.norm(sums[donor])
        assert 0 < np.abs(new[empty] - new[donor]).max() < 2.1 / 1024
        assert new[[empty, donor]].mean(axis=0) == pytest.approx(direction, abs=1e-5)
    assert movement == pytest.approx(((1 - np.sqrt(0.5)) + (1 - 0.8)) / 2)


def test_fewer_members_than_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="3 clusters over 2 embeddings"):
        kmeans.update(np.zeros((3, 2)), np.array([2, 0, 0]), np.eye(3, 2, dtype=np.float32))


@pytest.mark.parametrize(
    ("samples", "clusters"),
    [(1, 1), (100, 25), (128, 32), (7396, 32), (40_000, 156), (128_000, 500), (10**9, 500)],
)
def test_auto_clusters(samples: int, clusters: int) -> None:
    assert kmeans.auto_clusters(samples) == clusters


def test_the_sample_is_256_points_a_centroid_or_everything() -> None:
    assert kmeans.sample_size(500, 10**9) == 128_000
    assert kmeans.sample_size(500, 1000) == 1000
