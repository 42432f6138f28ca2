"""MinHash: signatures estimate Jaccard, bands meet as predicted, datasketch agrees."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.hashing import mix64
from tamis.pipeline.algorithms.near_captions import minhash
from tamis.pipeline.algorithms.near_captions.shingles import Ngram

KERNELS: list[minhash.Kernel] = ["fast", "datasketch"]


def word_texts(jaccard: tuple[int, int], count: int, seed: int) -> list[str]:
    """Make pairs of texts of distinct words that share `jaccard[0]` of `jaccard[1]` in all."""
    shared, union = jaccard
    texts = []
    for pair in range(count):
        words = [f"w{seed}x{pair}x{i}" for i in range(union)]
        texts += [" ".join(words[:shared] + words[shared : (shared + union) // 2]),
                  " ".join(words[:shared] + words[(shared + union) // 2 :])]  # fmt: skip
    return texts


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("jaccard", [(5, 20), (14, 20), (32, 40)])
def test_places_agree_with_the_probability_of_the_similarity(
    kernel: minhash.Kernel, jaccard: tuple[int, int]
) -> None:
    texts = word_texts(jaccard, 200, 1)
    sketches = minhash.signatures(texts, Ngram("word", 1), 128, seed=3, kernel=kernel)
    agreement = (sketches[::2] == sketches[1::2]).mean()
    truth = jaccard[0] / jaccard[1]
    # Five standard deviations of 200 x 128 independent places.
    assert abs(agreement - truth) < 5 * np.sqrt(truth * (1 - truth) / (200 * 128))


@pytest.mark.parametrize("kernel", KERNELS)
def test_bands_meet_with_the_predicted_probability(kernel: minhash.Kernel) -> None:
    texts = word_texts((32, 40), 400, 2)
    keys = minhash.Scheme(Ngram("word", 1), 8, 6, 5, kernel).keys(texts)
    met = (keys[::2] == keys[1::2]).any(axis=1).mean()
    predicted = minhash.candidate_probability(0.8, 8, 6)
    assert abs(met - predicted) < 5 * np.sqrt(predicted * (1 - predicted) / 400)


def datasketch_candidates(
    signatures: NDArray[np.uint32], bands: int, rows: int
) -> set[tuple[int, int]]:
    """Find candidate pairs (a < b) with datasketch's own LSH index."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=bands * rows, params=(bands, rows))
    found: set[tuple[int, int]] = set()
    for row, values in enumerate(signatures):
        sketch = MinHash(hashvalues=values[: bands * rows], scheme="affine32")
        found.update((int(other), row) for other in index.query(sketch))
        index.insert(row, sketch)
    return found


def test_the_keys_are_the_buckets_of_datasketch() -> None:
    """The same signatures give the same candidates in our bands and in datasketch's own index."""
    texts = word_texts((7, 10), 60, 3)
    sketches = minhash.signatures(texts, Ngram("word", 1), 64, seed=1)
    keys = minhash.bands(sketches, 16, 4)
    ours = {(a, b) for b in range(len(texts)) for a in range(b) if (keys[a] == keys[b]).any()}
    assert ours == datasketch_candidates(sketches, 16, 4)


@pytest.mark.parametrize("rows", [1, minhash.BAND_BLOCK, minhash.BAND_BLOCK + 1])
def test_a_key_depends_on_its_own_signature_alone(rows: int) -> None:
    drawn = np.random.default_rng(0).integers(0, 2**32, (rows, 13), dtype=np.uint32)
    keys = minhash.bands(drawn, 4, 3)
    for row in (0, rows // 2, rows - 1):
        for band in range(4):
            judge = int(mix64(np.array([band + 1], dtype=np.uint64))[0])
            for value in drawn[row, 3 * band : 3 * band + 3].tolist():
                mixed = np.array([(judge * 0x9E3779B97F4A7C15 + value) % 2**64], dtype=np.uint64)
                judge = int(mix64(mixed)[0])
            assert keys[row, band] == judge


@pytest.mark.parametrize("kernel", KERNELS)
@given(st.lists(st.text("abc ", max_size=12), max_size=8), st.integers(0, 3))
def test_a_signature_depends_on_its_text_and_the_seed_alone(
    kernel: minhash.Kernel, texts: list[str], seed: int
) -> None:
    together = minhash.signatures(texts, permutations=16, seed=seed, kernel=kernel)
    assert together.shape == (len(texts), 16)
    for row, text in enumerate(texts):
        alone = minhash.signatures([text], permutations=16, seed=seed, kernel=kernel)
        assert alone[0].tolist() == together[row].tolist()
        assert (together[row] == minhash.EMPTY).all() == (text == "")


def test_seeds_give_other_permutations() -> None:
    one, other = (minhash.signatures(["some caption"], seed=seed) for seed in (0, 1))
    assert (one != other).mean() > 0.9


def test_signatures_are_the_same_on_every_machine() -> None:
    sketch = minhash.signatures(["a red fox in the snow"], permutations=4, seed=7)
    assert sketch.tolist() == [[28609178, 162924899, 169045123, 117720052]]


def test_the_default_bands_find_pairs_at_four_fifths() -> None:
    scheme = minhash.Scheme()
    assert minhash.candidate_probability(0.8, scheme.bands, scheme.rows) > 0.99
    assert minhash.choose_bands(0.8, minhash.CAPTION_PERMUTATIONS, 0.99) == (18, 6)


@given(st.floats(0.3, 1.0), st.integers(16, 256), st.floats(0.5, 0.99))
def test_chosen_bands_reach_the_recall_and_one_more_row_would_not(
    threshold: float, permutations: int, recall: float
) -> None:
    bands, rows = minhash.choose_bands(threshold, permutations, recall)
    assert bands * rows <= permutations
    assert minhash.candidate_probability(threshold, bands, rows) >= recall
    if rows < permutations:
        more = permutations // (rows + 1)
        assert minhash.candidate_probability(threshold, more, rows + 1) < recall


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minhash.signatures(["a"], permutations=0), "permutations is 0"),
        (lambda: minhash.bands(np.zeros((1, 8), np.uint32), 3, 3), "need 9 permutations"),
        (lambda: minhash.choose_bands(0.01, 4, 0.9), "give more permutations"),
        (lambda: minhash.choose_bands(1.5, 4, 0.9), r"threshold 1.5 must lie in \(0, 1\]"),
    ],
)
def test_refuses_what_cannot_be(call: Callable[[], NDArray[np.uint32]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
