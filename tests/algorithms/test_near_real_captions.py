"""Near duplicates among all captions of the clip art, against a comparison of all pairs."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from tamis.pipeline.algorithms.near_captions import folding, jaccard, minhash, search, shingles
from tamis.pipeline.algorithms.near_captions.agreement import Agreement, AnyPicture
from tests.algorithms.test_near_captions import (
    TINY,
    alike,
    all_pairs,
    all_true,
    drops,
    joined,
    uids,
)
from tests.support import duplicates

Int64Array = NDArray[np.int64]


@pytest.fixture(scope="module")
def captions(openclipart: Path) -> list[str | None]:
    return [data.decode() for data in members(openclipart, ".txt")]


@pytest.fixture(scope="module")
def like(captions: list[str | None]) -> tuple[Int64Array, Int64Array]:
    """All pairs of samples with captions alike at 0.8."""
    return all_pairs(captions, AnyPicture(), 0.8)


def members(folder: Path, suffix: str) -> Iterator[bytes]:
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                if stream is not None and member.name.endswith(suffix):
                    yield stream.read()


def agreeing(
    pairs: tuple[Int64Array, Int64Array], agreement: Agreement
) -> tuple[Int64Array, Int64Array]:
    """Those whose pictures agree."""
    parts = np.arange(1 << 16, len(pairs[0]), 1 << 16)
    kept = [
        agreement.compare(a, b)[0]
        for a, b in zip(*(np.split(side, parts) for side in pairs), strict=True)
    ]
    keep = np.concatenate(kept)
    return pairs[0][keep], pairs[1][keep]


def phash(data: bytes) -> int:
    """Perceptual hash: signs of the 64 lowest cosine frequencies against their median."""
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    small = picture.resize((32, 32), Image.Resampling.BICUBIC, reducing_gap=2.0)
    page = Image.new("RGBA", small.size, "white")
    page.alpha_composite(small)
    grey = np.asarray(page.convert("L"), np.float64)
    low = np.asarray(dctn(grey))[:8, :8].ravel()
    return int("".join("1" if value > np.median(low[1:]) else "0" for value in low), 2)


def test_recall_on_real_captions(
    captions: list[str | None], like: tuple[Int64Array, Int64Array]
) -> None:
    """Bands find the pairs they should, every edge is true, and the drops are those of all pairs."""
    distinct = sorted({one for one in folding.normalise(captions) if one})
    sets = shingles.shingle_sets(distinct, minhash.CAPTION_NGRAM)
    a, b = np.triu_indices(len(distinct), 1)
    similarity = jaccard.pairs(sets, a, b)
    true = similarity >= 0.8
    scheme = minhash.Scheme()
    keys = scheme.keys(distinct)
    met = (keys[a[true]] == keys[b[true]]).any(axis=1).mean()
    predicted = [
        minhash.candidate_probability(one, scheme.bands, scheme.rows) for one in similarity[true]
    ]
    assert met >= 0.99
    assert abs(met - np.mean(predicted)) < 0.01
    found = joined(search.find(captions, uids(len(captions))))
    assert all_true(found, like)
    assert drops(*found, len(captions)) >= 0.99 * drops(*like, len(captions))


def test_bounds_from_half_to_one_on_real_captions(captions: list[str | None]) -> None:
    """With the bands that each bound chooses: no false edge, and pairs and drops as they predict."""
    distinct = sorted({one for one in folding.normalise(captions) if one})
    a, b = duplicates.alike_captions(distinct, 0.5)
    similarity = np.array(
        [duplicates.jaccard(distinct[i], distinct[j]) for i, j in zip(a, b, strict=True)]
    )
    for bound in (0.5, 0.7, 0.9, 1.0):
        bands, width = minhash.choose_bands(bound, 108, 0.99)
        edges = search.find(
            distinct, uids(len(distinct)), bound, scheme=minhash.Scheme(bands=bands, rows=width)
        )
        truth, found = (a[similarity >= bound], b[similarity >= bound]), joined(edges)
        assert all_true(found, truth)
        chance = [
            minhash.candidate_probability(s, bands, width) for s in similarity[similarity >= bound]
        ]
        assert abs(len(found[0]) / len(truth[0]) - np.mean(chance)) < 0.01
        assert drops(*found, len(distinct)) >= 0.99 * drops(*truth, len(distinct)) > 0


@pytest.mark.slow
def test_recall_of_dropped_samples_where_real_pictures_must_agree(
    openclipart: Path, captions: list[str | None], like: tuple[Int64Array, Int64Array]
) -> None:
    hashes = np.array([phash(data) for data in members(openclipart, ".png")], np.uint64)
    for radius in (0, 4, 8):
        agreement = alike(hashes, radius)
        truth = agreeing(like, agreement)
        for limits in (None, TINY):
            edges = search.find(captions, uids(len(captions)), 0.8, agreement, limits=limits)
            found = joined(edges)
            assert all_true(found, truth)
            assert drops(*found, len(captions)) >= 0.99 * drops(*truth, len(captions))
