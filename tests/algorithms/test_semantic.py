"""Semantic duplicates: SemDeDup's rule against a brute force, and the same bits for any split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.clusters import semantic, tiles

Float32Array = NDArray[np.float32]


def unit(rows: NDArray[np.floating]) -> Float32Array:
    wide = rows.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide.astype(np.float32)


def cluster(n: int, dimensions: int, seed: int) -> Float32Array:
    """Make points around few centres, some of them repeated exactly."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((5, dimensions))
    points = centres[generator.integers(5, size=n)]
    points = points + 0.3 * generator.standard_normal((n, dimensions))
    points[generator.integers(n, size=n // 4)] = points[0]
    return unit(points)


def judge(
    embeddings: NDArray[np.floating], order: NDArray[np.int64]
) -> tuple[Float32Array, NDArray[np.int64]]:
    """Apply the definition, one member after the other, in float64."""
    vectors = embeddings.astype(np.float64)
    similarity = np.zeros(len(order))
    partner = np.arange(len(order))
    for place, row in enumerate(order):
        for other in order[:place]:
            value = float(vectors[row] @ vectors[other])
            if value > similarity[row] or (partner[row] == row and value >= 0):
                similarity[row], partner[row] = value, other
    return similarity.astype(np.float32), partner


def test_the_public_vector_of_the_method() -> None:
    rows = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [1, 2, 3], [1, 2, 3]]
    similarity, partner = semantic.max_similarity(unit(np.array(rows)), np.arange(6))
    expected = [0, 0.974631, 0.998190, 0.999618, 1, 1]
    np.testing.assert_allclose(similarity, expected, atol=1e-6)
    assert partner.tolist() == [0, 0, 1, 2, 0, 0]


@given(st.integers(1, 90), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_equals_the_definition(n: int, dimensions: int, seed: int) -> None:
    embeddings = cluster(n, dimensions, seed)
    order = np.random.default_rng(seed).permutation(n)
    similarity, partner = semantic.max_similarity(embeddings, order)
    expected, _ = judge(embeddings, order)
    np.testing.assert_allclose(similarity, expected, atol=1e-6)
    own = np.einsum("ij,ij->i", embeddings, embeddings[partner])
    related = partner != np.arange(n)
    np.testing.assert_allclose(own[related], similarity[related], atol=1e-6)
    place = np.argsort(order)
    assert (place[partner] <= place).all()


def test_equal_members_have_an_earlier_one_as_partner() -> None:
    embeddings = np.repeat(cluster(3, 64, 1)[:1], 1500, axis=0)
    order = np.random.default_rng(0).permutation(1500)
    similarity, partner = semantic.max_similarity(embeddings, order)
    place = np.argsort(order)
    assert (place[partner] < place)[order[1:]].all()
    assert partner[order[0]] == order[0]
    np.testing.assert_allclose(similarity[order[1:]], 1.0, atol=1e-6)


def test_a_row_unlike_all_before_it_has_zero_and_itself() -> None:
    embeddings = np.array([[1, 0], [-1, 0], [0, 1]], dtype=np.float32)
    similarity, partner = semantic.max_similarity(embeddings, np.arange(3))
    assert similarity.tolist() == [0, 0, 0]
    assert partner.tolist() == [0, 1, 0]


def test_an_empty_cluster_has_an_empty_answer() -> None:
    similarity, partner = semantic.max_similarity(
        np.empty((0, 4), np.float32), np.empty(0, np.int64)
    )
    assert len(similarity) == len(partner) == 0


@pytest.mark.parametrize("n", [700, 2500, 9000])
def test_pieces_and_threads_give_the_same_bits(n: int) -> None:
    """A cluster in two tasks, with other threads and read as fp16, is the cluster in one."""
    embeddings = cluster(n, 48, n).astype(np.float16)
    order = np.random.default_rng(2).permutation(n)
    whole, partner = semantic.max_similarity(embeddings, order, threads=1)
    again, partner_again = semantic.max_similarity(embeddings.astype(np.float32), order, threads=3)
    assert whole.tobytes() == again.tobytes()
    assert partner.tobytes() == partner_again.tobytes()
    cut = tiles.piece(n)
    parts: list[tuple[int, Float32Array, NDArray[np.int64]]] = []
    for start, stop in [(0, min(cut, n)), (min(cut, n), n)]:
        if start < stop:
            parts += semantic.max_similarity_blocks(
                lambda i, j: embeddings[order[i:j]], n, 48, start=start, stop=stop
            )
    assert np.concatenate([part[1] for part in parts]).tobytes() == whole[order].tobytes()
    places = np.concatenate([part[2] for part in parts])
    assert order[places].tobytes() == partner[order].tobytes()


def test_refuses_what_is_not_finite_or_no_permutation() -> None:
    embeddings = cluster(4, 3, 0)
    with pytest.raises(ValueError, match="permutation of the 4 rows"):
        semantic.max_similarity(embeddings, np.array([0, 1, 1, 2]))
    embeddings[2, 1] = np.nan
    with pytest.raises(ValueError, match="position 2 of the order is not finite"):
        semantic.max_similarity(embeddings, np.arange(4))
    blocks = semantic.max_similarity_blocks(lambda i, j: embeddings[i:j], 4, 3, start=3)
    with pytest.raises(ValueError, match="must be multiples of"):
        next(blocks)


def test_orders_by_distance_with_ties_by_uid() -> None:
    distance = np.array([0.2, 0.5, 0.5, 0.1])
    uid = np.array([[0, 3], [1, 0], [0, 9], [0, 1]], dtype=np.uint64)
    assert semantic.order_in_cluster(distance, uid, "hard").tolist() == [2, 1, 0, 3]
    assert semantic.order_in_cluster(distance, uid, "easy").tolist() == [3, 0, 2, 1]


def test_a_random_order_follows_the_uids_and_the_seed() -> None:
    uid = np.arange(400, dtype=np.uint64).reshape(200, 2)
    shuffle = np.random.default_rng(5).permutation(200)
    first = semantic.order_in_cluster(np.zeros(200), uid, "random", seed=1)
    shuffled = semantic.order_in_cluster(np.zeros(200), uid[shuffle], "random", seed=1)
    assert (shuffle[shuffled] == first).all()
    other = semantic.order_in_cluster(np.zeros(200), uid, "random", seed=2)
    assert (other != first).any()


def test_clusters_are_few_where_comparing_is_cheap_and_cost_near_the_least_elsewhere() -> None:
    assert semantic.auto_clusters(7_396, 512).clusters == 1
    counts = [semantic.auto_clusters(n, 512).clusters for n in (10**5, 10**6, 10**7, 10**8)]
    assert counts == sorted(counts)
    large = semantic.auto_clusters(440_000_000, 512)
    least = min(semantic.cluster_cost(440_000_000, 512, 2**k).total for k in range(10, 20))
    assert large.total <= 1.5 * least
    assert 2_000 < large.clusters < 50_000


def test_the_decision_is_strict() -> None:
    similarity = np.array([0.75, 0.7500001, 0.5], dtype=np.float32)
    assert semantic.dropped(similarity, 0.25).tolist() == [False, True, False]


@pytest.mark.parametrize("dimensions", [8, 512, 1152])
def test_copies_among_stored_halves_are_found_at_any_epsilon_above_the_resolution(
    dimensions: int,
) -> None:
    draw = np.random.default_rng(dimensions)
    vectors = draw.standard_normal((700, dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    halves = np.repeat(vectors.astype(np.float16), 2, axis=0)[draw.permutation(1400)]
    found, partner = semantic.max_similarity(halves, np.arange(1400))
    assert found.max() <= 1
    copies = np.unique(halves, axis=0, return_inverse=True)[1].ravel()
    dropped = semantic.dropped(found, semantic.RESOLUTION)
    assert dropped.sum() == 700
    assert (copies[partner[dropped]] == copies[dropped]).all()
