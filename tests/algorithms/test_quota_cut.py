"""Who lies beyond a quota is who ``ranks`` puts there, whatever the ties, and however the samples come in pieces."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.choosing import ranks
from tamis.pipeline.algorithms.choosing.quota_cut import QuotaCut

Which = Literal["hard", "easy", "random"]


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 300),
    clusters=st.integers(1, 5),
    values=st.sampled_from([1, 3, 40, 10**6]),
    which=st.sampled_from(["hard", "easy", "random"]),
)
def test_it_is_the_rank_beyond_the_quota(
    seed: int, n: int, clusters: int, values: int, which: Which
) -> None:
    draw = np.random.default_rng(seed)
    cluster = draw.integers(0, clusters, n).astype(np.int32)
    # A few values make ties; some lie a rounding error outside of what distances are.
    distance = (draw.integers(0, values, n) / max(1, values - 1) * 2.0001 - 0.00005).astype("f4")
    uid = draw.integers(0, 2**64, (n, 2), dtype=np.uint64)
    quota = draw.integers(0, np.bincount(cluster, minlength=clusters) + 1)

    cut = QuotaCut(clusters, which, seed=3)
    pieces = np.array_split(np.arange(n), 3)
    for rows in pieces:
        coarse = cut.bins_of(distance[rows], uid[rows])
        cut.add(cut.histogram(cluster[rows], coarse))
    cut.set_quotas(quota)
    beyond = np.zeros(n, bool)
    near: list[int] = []
    for rows in pieces:
        sure, undecided = cut.split(cluster[rows], cut.bins_of(distance[rows], uid[rows]))
        beyond[rows[sure]] = True
        near += rows[undecided].tolist()
    places = np.array(near, dtype=np.int64)
    key = ranks.keys(distance[places], uid[places], which, 3)
    beyond[places] = cut.beyond(cluster[places], key, lambda tied: uid[places[tied]])

    rank = ranks.ranks(cluster, distance, uid, which, 3)
    np.testing.assert_array_equal(beyond, rank > quota[cluster])


def test_uids_are_asked_of_those_alone_whom_the_cut_divides() -> None:
    """A tie within what is kept decides nothing."""
    cut = QuotaCut(1, "hard")
    cluster = np.zeros(6, np.int32)
    distance = np.array([0.5009, 0.5009, 0.5008, 0.5007, 0.5007, 0.5006], np.float32)
    coarse = cut.bins_of(distance, None)
    cut.add(cut.histogram(cluster, coarse))
    asked: list[list[int]] = []

    def uids(places: np.ndarray) -> np.ndarray:
        asked.append(places.tolist())
        return np.stack([9 - places, places], axis=1).astype(np.uint64)

    for quota, tied in ((2, []), (3, []), (4, [[3, 4]])):
        cut.set_quotas(np.array([quota]))
        key = ranks.keys(distance, np.zeros((6, 2), np.uint64))
        sure, near = cut.split(cluster, coarse)
        assert near.all()
        assert not sure.any()
        asked.clear()
        beyond = cut.beyond(cluster, key, uids)
        assert asked == tied
        assert int((~beyond).sum()) == quota
    assert beyond.tolist() == [False, False, False, True, False, True]


@pytest.mark.parametrize(("clusters", "bins"), [(1, 1024), (4096, 1024), (100_000, 32)])
def test_of_many_clusters_each_has_fewer_bins(clusters: int, bins: int) -> None:
    assert QuotaCut(clusters, "hard").bins == bins
