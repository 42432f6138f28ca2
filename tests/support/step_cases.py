"""What the contract of steps is tried with: for each kind a small job that has it last, and what the job reads."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tamis.pipeline.steps import ingest
from tamis.pipeline.steps.concepts import ranking
from tamis.pipeline.steps.counts import shapes
from tamis.pipeline.steps.duplicates import grouping
from tamis.pipeline.steps.duplicates.near_captions import giants
from tamis.pipeline.steps.duplicates.semantic import step as semantic
from tamis.pipeline.steps.duplicates.semantic import tasks as semantic_tasks
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.random import step as random_step
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.write import step as write_step
from tamis.pipeline.tasks import dealing
from tamis.schemas.registry import STEPS
from tests.support.embedded import EMBED, blobs
from tests.support.pictures import encode, noise
from tests.support.running import Sample, write_tar

KINDS = frozenset(STEPS)
"""Every kind of step that a job can name."""

JOB = {"part_samples": 8, "range_samples": 20}

SMALL = {
    dealing: {"GROUPS": 4, "LEAST_FILES": 2, "TOGETHER_BYTES": 4},
    bucket_counts: {
        "TEXTS": 200,
        "RECORDS": 600,
        "KEYS": 600,
        "MEETINGS": 600,
        "CANDIDATES": 600,
        "HASHES": 15,
    },
    ingest: {"HELD_ROWS": 30},
    giants: {"HELD_ROWS": 30, "HELD_VECTORS": 30},
    shapes: {"HELD_ROWS": 5},
    grouping: {"EDGES": 4, "PARTITION": 8},
    semantic: {"OVERSIZE_BYTES": 200, "SPAN_FLOP": 1500},
    semantic_tasks: {"BLOCK_ROWS": 5},
    ranking: {"SAMPLES_PER_BUCKET": 10},
    budget_cut: {"SORTED_ROWS": 10, "SAMPLED_ROWS": 20},
    random_step: {"SUBSET_BUCKET": 10},
    write_step: {"SUBSET_BUCKET": 10},
}
"""Sizes by which work is cut into tasks, so small that tens of samples make several of most phases."""


@contextmanager
def small() -> Iterator[None]:
    """Have what runs inside cut its work that finely."""
    with pytest.MonkeyPatch.context() as patch:
        for module, sizes in SMALL.items():
            for name, size in sizes.items():
                patch.setattr(module, name, size)
        patch.setattr(bucket_counts, "VECTOR_BYTES", 200)
        patch.setattr(bucket_counts.buckets_for, "__defaults__", (15,))
        yield


@dataclass(frozen=True)
class Source:
    """Samples, and others of which none can be used; ``write`` makes a file of each list and returns the entry."""

    usual: Sequence[Any]
    bad: Sequence[Any]
    write: Callable[[Path, Sequence[Sequence[Any]]], dict[str, Any]]

    def files(self) -> list[list[Any]]:
        """The usual samples in three files of unlike length."""
        cuts = [0, len(self.usual) // 2, len(self.usual) * 5 // 6, len(self.usual)]
        return [list(self.usual[a:b]) for a, b in pairwise(cuts)]


@dataclass(frozen=True)
class Case:
    """A YAML list of steps, ``TARGET`` in it a file of captions, ``TARGET.npy`` one of vectors, ``LIST`` one of hosts.

    ``decides``: whether the last of them drops any.
    """

    steps: str
    source: Callable[[], Source]
    decides: bool = True

    @property
    def each(self) -> list[str]:
        """The steps, one after the other."""
        return [step.strip() for step in f"\n{self.steps}".split("\n- ")[1:]]

    @property
    def names(self) -> list[str]:
        """The kind of each, ingest the first of them, which is its name as well."""
        return ["ingest", *(step.partition(":")[0] for step in self.each)]

    @property
    def kind(self) -> str:
        """The kind of the last step."""
        return self.names[-1]


# Pictures with captions, in tars.

CAPTIONS = [
    "a red house by the sea with a small garden behind it",
    "two dogs that run over a wide field in the morning",
    "clip art of an apple and a pear on a wooden table",
    "the flag of Norway in the wind above an old harbour",
]


def captioned() -> Source:
    """Four captions in changed copies, the pictures of some the same, packed again or smaller; two cannot be used."""
    draw = random.Random(3)
    found = []
    for number in range(40):
        kind = number % 17
        image = noise(seed=kind)
        if number > 25:
            image = image.resize((30, 22), Image.Resampling.BICUBIC)
        words = CAPTIONS[kind % 4].split()
        words[draw.randrange(len(words))] = draw.choice(["plume", "a", words[0].upper()])
        text = " ".join(words if number % 5 else words[:2])
        packed = encode(image, compress_level=0 if number % 3 else 6)
        fields = {
            "uid": f"{draw.getrandbits(128):032x}",
            "quality": number % 7,
            "url": f"u{number}",
        }
        found.append(Sample(f"{number:03d}", packed, text, fields))
    found[5] = replace(found[5], text="")
    found[17] = replace(found[17], image=b"no picture")
    bad = [
        replace(found[0], key=f"bad-{n}", image=b"\x89PNG", fields={"uid": f"{n:032x}"})
        for n in range(10)
    ]
    return Source(found, bad, write_tars)


def write_tars(folder: Path, files: Sequence[Sequence[Sample]]) -> dict[str, Any]:
    for number, samples in enumerate(files):
        write_tar(folder / f"{number}.tar", samples)
    return {"path": f"{folder}/*.tar"}


# Metadata with embeddings beside it.

WIDTH = 8


def embedded() -> Source:
    """Four concepts with copies of some samples, qualities of which many are equal, few words; four are no use."""
    made = blobs([18, 12, 8, 2], [0.5, 0.8, 0.3, 0.1], dim=WIDTH, seed=4)
    draw = random.Random(5)
    words = ["red", "blue", "cat", "dog", "tree"]
    rows = [
        {
            "uid": uid,
            "text": " ".join(draw.choices(words, k=3)),
            "url": f"u{number}",
            "quality": float(draw.randrange(9)),
            "vector": made.vectors[number],
        }
        for number, uid in enumerate(made.uid)
    ]
    for row, other in zip(rows[30:], rows[2:], strict=False):
        row |= {"vector": other["vector"], "text": other["text"], "url": other["url"]}
    rows[7]["text"] = rows[22]["text"] = None
    rows[14]["vector"], rows[15]["vector"] = np.zeros(WIDTH), np.full(WIDTH, np.nan)
    bad = [{**rows[0], "uid": f"{n:032x}", "text": None} for n in range(10)]
    return Source(rows, bad, write_metadata)


def embedded_twice() -> Source:
    """The same with embeddings of the captions too."""
    source = embedded()
    draw = np.random.default_rng(7)
    for row in [*source.usual, *source.bad]:
        row["caption"] = row["vector"] + draw.normal(scale=0.2, size=WIDTH)
    return replace(source, write=write_both_sides)


def write_both_sides(folder: Path, files: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    entry = write_metadata(folder, files)
    for number, rows in enumerate(files):
        vectors = np.array([row["caption"] for row in rows], np.float16).reshape(-1, WIDTH)
        np.save(folder / f"{number}-text.npy", vectors)
    return {
        "path": entry["path"],
        "image_embeddings": f"{folder}/[0-9].npy",
        "text_embeddings": f"{folder}/*-text.npy",
    }


def write_metadata(folder: Path, files: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    folder.mkdir(parents=True)
    types = {"uid": pa.string(), "text": pa.string(), "url": pa.string(), "quality": pa.float64()}
    for number, rows in enumerate(files):
        columns = {
            name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()
        }
        pq.write_table(pa.table(columns), folder / f"{number}.parquet")
        vectors = np.array([row["vector"] for row in rows], np.float16).reshape(-1, WIDTH)
        np.save(folder / f"{number}.npy", vectors)
    return {"path": f"{folder}/*.parquet", "image_embeddings": f"{folder}/*.npy"}


# A job for each kind.

QUALITY = "- signals: [quality]\n"

OWN = Path(__file__).with_name("own_selector.py")


def over_embeddings(step: str) -> Case:
    """A step behind the embeddings that came with the input."""
    return Case(f"{EMBED}\n{step}", embedded)


CASES: Mapping[str, Case] = {
    "signals": Case("- signals: [words, entropy, quality]", captioned, decides=False),
    "counts": Case(
        "- counts: [caption_count, url_count, domain_count, boilerplate, odd_size, odd_aspect]",
        embedded,
        decides=False,
    ),
    "rules": Case("- signals: [words]\n- rules: {words: {min: 3}}", captioned),
    "exclude": Case("- exclude: {list: LIST, on: url}", embedded),
    "exclude all but": Case("- exclude: {list: LIST, on: url, all_but: true}", embedded),
    "exclude in secret": Case(
        "- signals: [quality]\n- exclude: {list: LIST, on: domain, reveal: false, redact: true}",
        captioned,
    ),
    "exclude by embedding": over_embeddings(
        "- exclude: {list: TARGET.npy, on: embedding, epsilon: 0.7}"
    ),
    "exclude by embedding in secret": over_embeddings(
        "- exclude: {list: TARGET.npy, on: embedding, epsilon: 0.7, reveal: false}"
    ),
    "exact_duplicates": Case("- exact_duplicates: {on: pixels, prefer: larger}", captioned),
    "exact_duplicates of metadata": Case("- exact_duplicates: {on: url_text}", embedded),
    "near_duplicates": Case(
        "- near_duplicates: {agree: phash, hamming: 12, jaccard: 0.6}", captioned
    ),
    "near_duplicates by embedding": over_embeddings(
        "- near_duplicates: {agree: embedding, cosine: 0.5, jaccard: 0.5}"
    ),
    "near_duplicates of captions": Case(
        "- near_duplicates: {agree: none, jaccard: 0.6, prefer: larger}", captioned
    ),
    "near_pictures": Case("- near_pictures: {hamming: 8, prefer: larger}", captioned),
    "embed": Case("- embed: {encoder: demo, batch_size: 8}", captioned, decides=False),
    "difficulty": Case(f"{EMBED}\n- difficulty: {{references: 9}}", embedded_twice, decides=False),
    "difficulty by heads": Case(
        f"{EMBED}\n- difficulty: {{measure: loss, references: 9, trained: 20, steps: 3, runs: 2}}",
        embedded_twice,
        decides=False,
    ),
    "index": Case(f"{EMBED}\n- index: {{clusters: 4, queries: 7}}", embedded, decides=False),
    "semantic_duplicates": over_embeddings("- semantic_duplicates: {clusters: 4, epsilon: 0.1}"),
    "density": over_embeddings("- density: {clusters: 4, neighbours: 2, keep: 0.5, balance: 0.3}"),
    "density of both sides": Case(
        f"{EMBED}\n"
        "- density: {side: both, clusters: 4, neighbours: 2, keep: 0.5, full_iterations: 2}",
        embedded_twice,
    ),
    "density of the hardest": over_embeddings(
        "- density: {clusters: auto, keep: 0.5, which: hard}"
    ),
    "density in rounds": over_embeddings(
        "- density: {clusters: 4, neighbours: 2, keep: 0.5, full_iterations: 2}"
    ),
    "prototypes": over_embeddings("- prototypes: {clusters: 4, keep: 0.5, floor: 0.3}"),
    "coverage": Case(
        f"{QUALITY}- coverage: {{score: quality, keep: 0.5, beta: 0.1, strata: 4}}", embedded
    ),
    "random": Case("- random: {keep: 0.3, epochs: 3}", embedded),
    "score": Case(f"{QUALITY}- score: {{signal: quality, keep: 0.5}}", embedded),
    "importance": Case("- importance: {target: TARGET, keep: 0.5}", embedded),
    "balance": Case("- balance: {list: TARGET, most: 5}", embedded),
    "quotas": Case(
        f"{QUALITY}- quotas: {{by: quality, keep: 0.5, weights: {{mean: quality}}, most: 3}}",
        embedded,
    ),
    "quotas of concepts": over_embeddings(
        "- semantic_duplicates: {clusters: 4, epsilon: 0.001}\n"
        "- signals: [quality]\n- quotas: {by: [cluster, quality], keep: 0.5, score: quality}"
    ),
    "target": over_embeddings("- target: {path: TARGET.npy, keep: 0.5, floor: 0.2}"),
    "target by moment": over_embeddings(
        "- target: {path: TARGET.npy, measure: moment, least: 0.3}"
    ),
    "target by concepts": over_embeddings(
        "- target: {path: TARGET.npy, measure: concepts, centroids: TARGET.npy, keep: 0.5}"
    ),
    "target by frechet": over_embeddings(
        "- target: {path: TARGET.npy, measure: frechet, centroids: TARGET.npy, dimensions: 4}"
    ),
    "target of captions": Case(
        "- embed: {encoder: demo, batch_size: 8}\n- target: {path: TARGET, keep: 0.5}", captioned
    ),
    "repeat": Case(
        f"{QUALITY}- repeat: {{signal: quality, total: 70, penalty: 0.5, most: 4}}", embedded
    ),
    "choose": over_embeddings(
        f"- signals: [quality]\n- choose: {{keep: 0.5, by: {{file: {OWN}, name: worth}}}}"
    ),
    "tiers": Case(
        f"{QUALITY}- tiers: {{signal: quality, cuts: [3, 5], names: [a, b, c]}}",
        embedded,
        decides=False,
    ),
    "write": Case(
        "- signals: [words]\n- rules: {words: {min: 3}}\n- write: {samples_per_shard: 7}",
        captioned,
        decides=False,
    ),
    "write by tier": Case(
        "- signals: [words]\n- tiers: {signal: words, cuts: [3, 9], names: [short, middle, long]}\n"
        "- write: {samples_per_shard: 7, by: tiers}",
        captioned,
        decides=False,
    ),
    "write metadata": Case("- write: {samples_per_shard: 7}", embedded, decides=False),
    "write vectors": Case(
        "- embed: {encoder: precomputed}\n"
        "- write: {samples_per_shard: 7, embeddings: all, embeddings_as: int8}",
        embedded,
        decides=False,
    ),
}
"""By kind; a kind may have several."""


def _repeated() -> Iterator[tuple[str, int]]:
    seen: set[tuple[Any, ...]] = set()
    for name, case in sorted(CASES.items()):
        starts = {(case.source, *case.each[:count]) for count in range(len(case.each))}
        yield name, len(starts & seen)
        seen |= starts


REPEATED: Mapping[str, int] = dict(_repeated())
"""For each case how many of its first steps, ingest the first of them, a case before it does to the same samples."""
