"""A generated pool in the form of DataComp's metadata, and DataComp's filters read straight from their definitions.

Gadre et al., "DataComp: in search of the next generation of multimodal datasets", NeurIPS 2023, section 5 and appendix.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.signals.language import LanguageDetector
from tests.support.embedded import unit

Mask = npt.NDArray[np.bool_]
DIM = 16
ROWS_PER_FILE = 6_000
ENGLISH = (
    "a",
    "photo",
    "of",
    "the",
    "red",
    "house",
    "by",
    "water",
    "with",
    "small",
    "garden",
    "dog",
)
GERMAN = ("ein", "Haus", "mit", "Garten", "und", "Hund", "auf", "der", "Wiese", "im", "Sommer")
ODD = ("", " ", "\u200b", "12 34 56 78", "a b c", "1 2 3 4 5 6 7", "ab\ncd ef gh")


@dataclass(frozen=True)
class Pool:
    """Columns of n samples, and their picture features (n, DIM)."""

    uid: list[str]
    text: list[str]
    width: npt.NDArray[np.int64]
    height: npt.NDArray[np.int64]
    score: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float32]


def pool(count: int = 20_000, seed: int = 11) -> Pool:
    """Samples of which each filter drops some: equal scores and none, captions of nothing, sides at bounds."""
    draw = np.random.default_rng(seed)
    texts = []
    for kind in draw.random(count):
        words = ENGLISH if kind < 0.7 else GERMAN
        text = " ".join(draw.choice(words, draw.integers(1, 9)))
        texts.append(text if kind < 0.95 else ODD[draw.integers(len(ODD))])
    sides = draw.choice([100, 199, 200, 201, 400, 600, 601, 603, 1200], (count, 2))
    # Thousandths as float32 have many equals, and none of them is a float64 of the same digits.
    score = np.round(draw.normal(0.2, 0.06, count), 3).astype(np.float32)
    score[draw.random(count) < 0.01] = np.nan
    centres = unit(draw.standard_normal((40, DIM)))
    noise = draw.standard_normal((count, DIM)) / 6
    vectors = unit(centres[draw.integers(40, size=count)] + noise)
    uid = [draw.bytes(16).hex() for _ in range(count)]
    return Pool(uid, texts, sides[:, 0], sides[:, 1], score, vectors)


def write_pool(folder: Path, samples: Pool) -> str:
    """DataComp's ``X.parquet`` with ``X.npz`` beside it; returns the pattern."""
    folder.mkdir(parents=True)
    table = pa.table(
        {
            "uid": samples.uid,
            "url": [f"https://example.org/{uid}" for uid in samples.uid],
            "text": samples.text,
            "original_width": samples.width,
            "original_height": samples.height,
            "clip_l14_similarity_score": pa.array(samples.score, pa.float32()),
        }
    )
    for number, start in enumerate(range(0, len(samples.uid), ROWS_PER_FILE)):
        rows = slice(start, start + ROWS_PER_FILE)
        pq.write_table(table.slice(start, ROWS_PER_FILE), folder / f"{number:04d}.parquet")
        half = samples.vectors[rows].astype(np.float16)
        members: dict[str, Any] = {"l14_img": half, "l14_txt": half[:, ::-1]}
        np.savez(folder / f"{number:04d}.npz", **members)
    return f"{folder}/*.parquet"


def is_english(texts: list[str]) -> Mask:
    """Whether each caption is English, by the model that the pipeline has."""
    codes, _ = LanguageDetector().detect(texts)
    return np.array([code == "en" for code in codes])


def basic(samples: Pool) -> Mask:
    """English, more than two words, more than five characters, 200 pixels or more, three to one at most."""
    words = np.array([len(text.split()) for text in samples.text])
    characters = np.array([len(text) for text in samples.text])
    shorter = np.minimum(samples.width, samples.height)
    longer = np.maximum(samples.width, samples.height)
    caption = (words > 2) & (characters > 5)
    passing: Mask = is_english(samples.text) & caption & (shorter >= 200) & (longer / shorter <= 3)
    return passing


def best_share(samples: Pool, share: float) -> Mask:
    """The scores that are at least the one at place int(n * share) of all, from the highest down."""
    place = int(len(samples.score) * share)
    threshold = -np.sort(-samples.score)[place]
    passing: Mask = samples.score >= threshold
    return passing


def image_based(samples: Pool, centroids: npt.NDArray[Any], target: npt.NDArray[Any]) -> Mask:
    """English, more than one word, more than five characters, and a nearest centroid that is a target's nearest too."""
    words = np.array([len(text.split()) for text in samples.text])
    characters = np.array([len(text) for text in samples.text])
    wanted = set(np.argmax(target.astype(np.float32) @ centroids.T, axis=1).tolist())
    stored = samples.vectors.astype(np.float16).astype(np.float32)
    nearest = np.argmax(stored @ centroids.T, axis=1)
    chosen = np.array([number in wanted for number in nearest.tolist()])
    passing: Mask = is_english(samples.text) & (words > 1) & (characters > 5) & chosen
    return passing


def text_based(samples: Pool, words: set[str]) -> Mask:
    """English, and a word of the caption is one of ``words``."""
    has = np.array([bool(words & {*text.lower().split()}) for text in samples.text])
    passing: Mask = is_english(samples.text) & has
    return passing
