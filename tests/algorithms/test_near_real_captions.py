"""Near duplicates among all captions of the clip art, against a comparison of all pairs."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from tamis.pipeline.algorithms.near_captions import folding, jaccard, minhash, search, shingles
from tamis.pipeline.algorithms.near_captions.agreement import AnyPicture
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

UInt64Array = NDArray[np.uint64]


def read_clipart(folder: Path, pictures: bool) -> tuple[list[str | None], UInt64Array]:
    captions: list[str | None] = []
    hashes: list[int] = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                if stream is not None and member.name.endswith(".txt"):
                    captions.append(stream.read().decode())
                elif stream is not None and pictures and member.name.endswith(".png"):
                    hashes.append(phash(stream.read()))
    return captions, np.array(hashes, dtype=np.uint64)


def phash(data: bytes) -> int:
    """Perceptual hash: signs of the 64 lowest cosine frequencies against their median."""
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    small = picture.resize((32, 32), Image.Resampling.BICUBIC, reducing_gap=2.0)
    page = Image.new("RGBA", small.size, "white")
    page.alpha_composite(small)
    grey = np.asarray(page.convert("L"), np.float64)
    low = np.asarray(dctn(grey))[:8, :8].ravel()
    return int("".join("1" if value > np.median(low[1:]) else "0" for value in low), 2)


def test_recall_on_real_captions(openclipart: Path) -> None:
    """Bands find the pairs they should, every edge is true, and the drops are those of all pairs."""
    captions, _ = read_clipart(openclipart, pictures=False)
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
    truth = all_pairs(captions, AnyPicture(), 0.8)
    found = joined(search.find(captions, uids(len(captions))))
    assert all_true(found, truth)
    assert drops(*found, len(captions)) >= 0.99 * drops(*truth, len(captions))


def test_bounds_from_half_to_one_on_real_captions(openclipart: Path) -> None:
    """With the bands that each bound chooses: no false edge, and pairs and drops as they predict."""
    captions, _ = read_clipart(openclipart, pictures=False)
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
def test_recall_of_dropped_samples_where_real_pictures_must_agree(openclipart: Path) -> None:
    captions, hashes = read_clipart(openclipart, pictures=True)
    for radius in (0, 4, 8):
        agreement = alike(hashes, radius)
        truth = all_pairs(captions, agreement, 0.8)
        for limits in (None, TINY):
            edges = search.find(captions, uids(len(captions)), 0.8, agreement, limits=limits)
            found = joined(edges)
            assert all_true(found, truth)
            assert drops(*found, len(captions)) >= 0.99 * drops(*truth, len(captions))
