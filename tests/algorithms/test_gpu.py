"""The code for GPUs, run by torch on the processors: the same labels, sums and similarities, whatever the slicing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.clusters import gpu, kmeans, semantic, tiles

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return name


def unit(n: int, d: int, seed: int, near: int = 0) -> NDArray[np.float32]:
    """Rows of length 1; with `near` around so many points, some of them twice."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((n, d))
    if near:
        rows = random.standard_normal((near, d))[random.integers(near, size=n)] + 0.3 * rows
        rows[random.integers(n, size=n // 4)] = rows[0]
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def in_order(rows: NDArray[np.floating], centroids: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every product, its d terms added by halves: (n, K)."""
    products = rows.astype(np.float32)[:, None] * centroids[None]
    while (columns := products.shape[2]) > 1:
        half = columns // 2
        folded = products[..., :half] + products[..., half : 2 * half]
        if columns % 2:
            folded[..., 0] += products[..., -1]
        products = folded
    return products[..., 0]


# Assignment


@given(
    st.integers(1, 300),
    st.integers(1, 40),
    st.integers(2, 33),
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float32, np.float16]),
)
def test_labels_are_those_of_sums_in_a_fixed_order(
    n: int, clusters: int, d: int, seed: int, dtype: type[np.float32]
) -> None:
    """Centroids that stand twice or nearly twice included: no product of matrices has a say."""
    rows = unit(n, d, seed, 5).astype(dtype)
    centroids = unit(clusters, d, seed + 1)
    centroids[clusters // 2 :] = centroids[: clusters - clusters // 2]
    centroids[clusters // 3] = np.nextafter(centroids[0], np.float32(1))
    label, cosine = kmeans.assign(rows, centroids, device="cpu")
    assert label.tolist() == in_order(rows, centroids).argmax(axis=1).tolist()
    theirs, other = kmeans.assign(rows, centroids)
    same = label == theirs
    assert cosine[same].tobytes() == other[same].tobytes()
    np.testing.assert_allclose(cosine, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("d", [3, 64, 513])
def test_any_slicing_gives_the_same_bits(device: str, d: int, dtype: type[np.float32]) -> None:
    rows, centroids = unit(5000, d, 1).astype(dtype), unit(301, d, 2)
    label, cosine = kmeans.assign(rows, centroids, device=device)
    theirs, _ = kmeans.assign(rows, centroids)
    assert (label != theirs).mean() < 0.001
    held = kmeans.Centroids(centroids, device)
    shuffled = np.random.default_rng(3).permutation(len(rows))
    for cut in (1, 17, 3333):
        for some in (shuffled[:cut], shuffled[cut:]):
            again = held.assign(rows[some], threads=2)
            assert again[0].tobytes() == label[some].tobytes()
            assert again[1].tobytes() == cosine[some].tobytes()


def test_equal_products_go_to_the_smaller_cluster(device: str) -> None:
    """Whole numbers make every product exact; each centroid stands three times."""
    random = np.random.default_rng(4)
    centroids = np.tile(random.integers(-3, 4, (700, 16)).astype(np.float32), (3, 1))
    rows = random.integers(-3, 4, (500, 16)).astype(np.float32)
    expected = (rows @ centroids.T).argmax(axis=1)
    assert (kmeans.assign(rows, centroids, device=device)[0] == expected).all()


def test_few_and_many_centroids(device: str) -> None:
    rows = unit(9000, 8, 0)
    assert not kmeans.assign(rows, rows[:1], device=device)[0].any()
    assert kmeans.assign(rows[:1], rows, device=device)[0].tolist() == [0]
    assert kmeans.assign(rows[:0], rows, device=device)[0].shape == (0,)
    assert not kmeans.assign(rows, np.repeat(rows[:1], 600, axis=0), device=device)[0].any()
    assert kmeans.assign(rows[:3000], rows, device=device)[0].tolist() == list(range(3000))


def test_ties_take_no_more_memory_than_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all centroids may be the nearest to all rows, and each pair has 64 terms."""
    sizes: list[int] = []
    summed = gpu.summed

    def watched(products: torch.Tensor) -> torch.Tensor:
        sizes.append(4 * products.numel())
        return summed(products)

    monkeypatch.setattr(gpu, "PRODUCT_BYTES", 1 << 16)
    monkeypatch.setattr(gpu, "summed", watched)
    rows = unit(50, 64, 0)
    label, _ = kmeans.assign(rows, np.repeat(rows[:1], 40, axis=0), device="cpu")
    assert not label.any()
    assert sum(sizes) == 50 * 40 * 64 * 4
    assert max(sizes) <= 1 << 16


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_what_is_not_finite_is_refused(device: str, value: float, dtype: type[np.float32]) -> None:
    rows = unit(2000, 8, 0).astype(dtype)
    rows[1500, 3] = value
    with pytest.raises(ValueError, match=r"1 of 2,000 embeddings .* at row 1,500"):
        kmeans.assign(rows, unit(5, 8, 1), device=device)


def test_another_number_of_dimensions_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match=r"\(5, 8\) and centroids \(3, 9\)"):
        kmeans.assign(unit(5, 8, 0), unit(3, 9, 1), device=device)


def test_zero_goes_to_the_first(device: str) -> None:
    label, cosine = kmeans.assign(np.zeros((3, 4), np.float32), unit(9, 4, 0), device=device)
    assert not label.any()
    assert not cosine.any()


def test_an_array_that_cannot_be_written_to_is_read(device: str) -> None:
    rows = np.frombuffer(unit(10, 4, 0).tobytes(), np.float32).reshape(10, 4)
    assert kmeans.assign(rows, rows, device=device)[0].tolist() == list(range(10))


# Training


@given(st.integers(1, 700), st.integers(1, 9), st.integers(0, 2**32 - 1), st.booleans())
def test_sums_have_the_bits_of_the_processors(n: int, clusters: int, seed: int, fits: bool) -> None:
    rows, centroids = unit(n, 7, seed, 5), unit(clusters, 7, seed + 1)
    sample = gpu.Sample(rows, "cpu", room=None if fits else 0)
    sums, counts, mean = sample.sums(centroids)
    label, cosine = kmeans.assign(rows, centroids, device="cpu")
    expected, members = kmeans.partial_sums(rows, label, clusters)
    assert sums.tobytes() == expected.tobytes()
    assert counts.tobytes() == members.tobytes()
    assert mean == pytest.approx(cosine.mean(dtype=np.float64), abs=1e-6)


def test_sums_of_many_blocks_do_not_depend_on_the_order(device: str) -> None:
    rows, centroids = unit(20_000, 24, 1), unit(50, 24, 2)
    found = [
        gpu.Sample(rows[order], device, room=room).sums(centroids)
        for order, room in ((slice(None), None), (slice(None, None, -1), 1000))
    ]
    label, _ = kmeans.assign(rows, centroids, device=device)
    expected, counts = kmeans.partial_sums(rows, label, 50)
    for sums, members, _ in found:
        assert sums.tobytes() == expected.tobytes()
        assert members.tobytes() == counts.tobytes()


def test_training_gives_the_processors_centroids(device: str) -> None:
    """Where no label is near a tie, and so to the last bit."""
    rows = unit(4000, 24, 1, 40)
    here, there = (kmeans.fit(rows, 30, 20, 7, device=name) for name in (None, device))
    assert there.centroids.tobytes() == here.centroids.tobytes()
    np.testing.assert_allclose(there.similarity, here.similarity, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_training_refuses_what_the_processors_refuse(device: str, value: float) -> None:
    rows = unit(10, 4, 0)
    rows[3] = value
    with pytest.raises(ValueError, match=r"1 of 10 embeddings .* at row 3"):
        kmeans.fit(rows, 2, 5, seed=0, device=device)
    with pytest.raises(ValueError, match="11 clusters from a sample of 10"):
        kmeans.fit(rows, 11, 5, seed=0, device=device)


# Semantic duplicates


@given(
    st.integers(1, 400),
    st.integers(2, 9),
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float32, np.float16]),
)
def test_similarities_are_the_processors(
    n: int, d: int, seed: int, dtype: type[np.float32]
) -> None:
    rows = unit(n, d, seed, 5).astype(dtype)
    order = np.random.default_rng(seed).permutation(n)
    value, partner = semantic.max_similarity(rows, order, device="cpu")
    expected, _ = semantic.max_similarity(rows, order)
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-6)
    wide = rows.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    own = np.einsum("ij,ij->i", wide, wide[partner])
    related = partner != np.arange(n)
    np.testing.assert_allclose(own[related], value[related], rtol=0, atol=1e-6)
    place = np.argsort(order)
    assert (place[partner[related]] < place[related]).all()
    assert not value[~related].any()


def test_equal_similarities_have_the_earliest_partner(device: str) -> None:
    """Sixteen signs have length 4, and every product is exact: the definition can be applied as it stands."""
    rows = np.random.default_rng(0).choice([-1.0, 1.0], (3000, 16)).astype(np.float32)
    value, partner = semantic.max_similarity(rows, np.arange(3000), device=device)
    products = np.where(np.tri(3000, k=-1, dtype=bool), rows @ rows.T / 16, -np.inf)
    best, first = products.max(axis=1), products.argmax(axis=1)
    assert (value == np.maximum(best, 0)).all()
    assert (partner == np.where(best < 0, np.arange(3000), first)).all()


@pytest.mark.parametrize("n", [1, 2, 700, 2500, 9000])
def test_tasks_and_what_fits_the_device_change_no_bit(device: str, n: int) -> None:
    rows = unit(n, 48, n, 5).astype(np.float16)
    order = np.random.default_rng(2).permutation(n)
    whole, partner = semantic.max_similarity(rows, order, device=device)
    wide, also = semantic.max_similarity(rows.astype(np.float32), order, device=device)
    assert (whole.tobytes(), partner.tobytes()) == (wide.tobytes(), also.tobytes())
    cut = min(tiles.piece(n), n)
    for room in (None, 0, 5_000_000):
        parts = [
            part
            for span in ((0, cut), (cut, n))
            for part in gpu.max_similarity_blocks(
                lambda i, j: rows[order[i:j]], n, 48, device, span, room
            )
        ]
        assert np.concatenate([part[1] for part in parts]).tobytes() == whole[order].tobytes()
        places = np.concatenate([part[2] for part in parts])
        assert order[places].tobytes() == partner[order].tobytes()


def test_refuses_what_is_not_finite_or_no_permutation(device: str) -> None:
    rows = unit(4, 3, 0)
    with pytest.raises(ValueError, match="permutation of the 4 rows"):
        semantic.max_similarity(rows, np.array([0, 1, 1, 2]), device=device)
    rows[2, 1] = np.nan
    with pytest.raises(ValueError, match="position 2 of the order is not finite"):
        semantic.max_similarity(rows, np.arange(4), device=device)


def test_an_empty_cluster_and_one_row(device: str) -> None:
    assert len(semantic.max_similarity(unit(0, 4, 0), np.arange(0), device=device)[0]) == 0
    value, partner = semantic.max_similarity(unit(1, 4, 0), np.arange(1), device=device)
    assert (value.tolist(), partner.tolist()) == ([0.0], [0])


def test_the_processors_need_no_torch() -> None:
    """It takes seconds to import, and 200 MB."""
    steps = "tamis.pipeline.steps"
    asked = f"import sys, {steps}.concepts.clustering, {steps}.duplicates.semantic.tasks; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
