"""The clusters that a search reads: those of the largest exact cosines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms import nearest


@given(seed=st.integers(0, 1000), clusters=st.integers(1, 60), count=st.integers(1, 70))
def test_the_probed_clusters_are_the_nearest_by_exact_cosines(
    seed: int, clusters: int, count: int
) -> None:
    draw = np.random.default_rng(seed)
    few = draw.standard_normal((3, 16)) * draw.choice([1e-3, 1, 1e3], (3, 1))
    rows = few[draw.integers(0, 3, clusters)]  # many are equal, or nearly
    rows += draw.choice([0, 1e-7, 0.3], (clusters, 1)) * draw.standard_normal(rows.shape)
    centroids = rows.astype(np.float32)
    centroids[draw.random(clusters) < 0.1] = 0
    drawn = draw.standard_normal(16)
    query = (drawn / np.linalg.norm(drawn)).astype(np.float32)
    best = np.lexsort((np.arange(clusters), -nearest.cosines(centroids, query)))[:count]
    assert nearest.probed(centroids, query, count).tolist() == sorted(best.tolist())


@pytest.mark.parametrize("count", [1, 16])
def test_neighbours_within_the_error_of_a_product_are_told_apart(count: int) -> None:
    query = np.eye(1, 512, dtype=np.float32)[0]
    centroids = np.zeros((4000, 512), np.float32)
    centroids[:, 0] = 1
    centroids[:, 1] = np.linspace(1e-4, 0, 4000)  # cosines differ by less than float32 tells
    best = np.argsort(-nearest.cosines(centroids, query), kind="stable")[:count]
    assert nearest.probed(centroids, query, count).tolist() == sorted(best.tolist())
