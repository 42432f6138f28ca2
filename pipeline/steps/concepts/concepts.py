"""The phases that assign every embedded sample to a concept: ``train`` has the centroids, ``assign`` the assignments.

The centroids are trained on a sample, or taken from a finished run. Lloyd iterations over all living samples may refine
them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.steps.concepts import clustering, lloyd
from tamis.pipeline.steps.concepts.clustering import Assignment, Sampling, Training
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.shared.borrowed import inspected, read
from tamis.pipeline.steps.shared.config import nothing_reaches
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo, location
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.layout import MANIFEST
from tamis.schemas.nearest import nearest

FILE = "centroids"

PASSING = ("sample", "sums-*")
"""Phases that only the training of centroids reads."""


@dataclass(frozen=True)
class Borrowed:
    """The centroids of a finished run."""

    root: str
    file: TableFile

    @property
    def clusters(self) -> int:
        """The number of centroids."""
        return sum(self.file.rows)


@dataclass(frozen=True)
class Loan:
    """Arguments of ``borrow``."""

    digest: str
    dim: int
    clusters: int
    root: str = location()
    path: str = location()  # below the root
    bytes: int = location()


def number(config: Clustered, auto: int) -> int:
    """The number of clusters: the job's, that of the borrowed file, or else ``auto``.

    Raises:
        JobError: the job says one number and the borrowed file has another.
    """
    if config.centroids is None:
        return auto if config.clusters == "auto" else config.clusters
    clusters = borrowed(config).clusters
    if config.clusters not in ("auto", clusters):
        raise JobError(
            f"{config.name}: clusters is {config.clusters:,}, but `{storage.redact(config.centroids)}` has "
            f"{clusters:,} centroids: set `clusters: {clusters}`, or leave it out"
        )
    return clusters


def borrowed(config: Clustered) -> Borrowed:
    """The file that ``centroids: RUN`` or ``RUN#STEP`` names; without a step the only one, or that of this step's name.

    Raises:
        JobError: there is no finished run, or no such step in it, or several to choose from.
        StateError: the file is damaged.
    """
    assert config.centroids is not None, "the job asks for them"
    run, _, step = config.centroids.partition("#")
    shown = f"{config.name}: centroids: `{storage.redact(run)}`"
    root = storage.absolute(run)
    if not storage.exists(storage.join(root, MANIFEST)):
        raise JobError(
            f"{shown}: no finished run is there: name a run directory, which holds manifest.json"
        )
    names = [
        name
        for name in storage.folders_in(storage.join(root, paths.TABLES))
        if storage.exists(storage.join(root, _path(name)))
    ]
    step = step or (names[0] if len(names) == 1 else config.name)
    if step not in names:
        others = f"it has those of {', '.join(names)}" if names else "it has none"
        raise JobError(
            f"{shown} has no centroids of a step `{step}`{nearest(step, names)}: {others}"
        )
    return Borrowed(root, inspected(root, _path(step), shown))


def _path(step: str) -> str:
    return paths.table(step, "train", FILE)


def phases(
    context: Context, config: Clustered, embedding: str, clusters: int
) -> Iterator[Phase[Any]]:
    """Give every embedded sample a cluster and a similarity.

    Raises:
        JobError: no sample at all; more clusters than samples, or than the sample's bound has room for; borrowed
            centroids that do not fit.
        InputError: embeddings of several widths.
    """
    if not context.alive:
        raise nothing_reaches(config.name)
    if clusters > context.alive and config.centroids is None:
        raise JobError(
            f"{config.name}: {clusters:,} clusters, but only {context.alive:,} samples reach the step: "
            f"set `clusters` to at most {context.alive:,}"
        )
    dim = dimension(context, config.name, embedding) * (2 if config.both_sides else 1)
    first = "start" if config.full_iterations else "train"
    if config.centroids is None:
        yield from _trained(context, config, embedding, clusters, dim, first)
    else:
        yield _taken(config, dim, first)
    claimed = config.claim(context.job.resources, 4 * clusters * dim)
    if config.full_iterations:
        yield from lloyd.phases(context, config, embedding, first, claimed)
    centroids = context.done(config.name, "train").whole()
    tasks = EachPart(
        context.parts,
        {"embedding": context.embedding(embedding)},
        Assignment(clustering.on_device(config), clustering.on_both(config)),
        shared={"centroids": centroids},
    )
    yield Phase("assign", clustering.assign, tasks, claimed)


def dimension(context: Context, step: str, embedding: str) -> int:
    """The width of an embedding.

    Raises:
        InputError: it is not the same for all inputs.
    """
    widths = context.embedding(embedding).files.noted_numbers("dim")
    dim = int(widths[0])
    others = np.flatnonzero(widths != dim)
    if len(others):
        one, other = (context.inputs[context.parts[at].file].source for at in (int(others[0]), 0))
        raise InputError(
            f"{step}: the embeddings of {one} have {widths[others[0]]} dimensions, those of {other} have {dim}: one "
            "embedding needs one encoder"
        )
    return dim


def _trained(
    context: Context, config: Clustered, embedding: str, clusters: int, dim: int, phase: str
) -> Iterator[Phase[Any]]:
    """The phase ``sample``, and the training on it."""
    room = config.sample_bytes // (4 * dim)
    if room < clusters:
        raise JobError(
            f"{config.name}: {clusters:,} clusters need {clusters:,} samples of {4 * dim:,} bytes to train on, and "
            f"sample_bytes {config.sample_bytes:,} holds {room:,}: set it to at least {clusters * 4 * dim:,}"
        )
    wanted = kmeans.sample_size(clusters, context.alive, config.points_per_centroid)
    wanted = min(wanted, room)
    bound = sample_bound(wanted, context.alive)
    sampling = Sampling(context.job.seed, bound, clustering.on_both(config))
    inputs: dict[str, ByPart | Sequence[ByPart]] = {
        "embedding": context.embedding(embedding),
        "ingest": context.ingest(),
        "drops": context.drops(),
    }
    # One row group a file: the training reads them all.
    yield Phase("sample", clustering.sample, EachPart(context.parts, inputs, sampling, buckets=1))
    training = Training(
        clusters,
        dim,
        config.iterations,
        context.job.seed,
        wanted,
        clustering.on_device(config),
        threads=context.job.resources.cpus,
    )
    drawn = {"sample": context.done(config.name, "sample").whole()}
    claimed = config.claim(context.job.resources)
    yield listed(phase, clustering.train, [Task.whole(FILE, drawn, training)], claimed)


def sample_bound(wanted: int, rows: int) -> int:
    """The bound on hashes of sampled rows. The expected sample exceeds ``wanted`` by six standard deviations."""
    share = wanted / rows
    ceiling = min(1.0, share + 6 * math.sqrt(share / rows))
    return min(int(ceiling * 2**64), 2**64 - 1)


def _taken(config: Clustered, dim: int, phase: str) -> Phase[Loan]:
    """Another run's centroids, copied; their digest is their identity.

    Raises:
        JobError: they have another width.
    """
    centroids = borrowed(config)
    file = centroids.file
    width = int(file.notes["dim"])
    if width != dim:
        raise JobError(
            f"{config.name}: the centroids of `{storage.redact(config.centroids or '')}` have {width} dimensions, "
            f"the embedding has {dim}: use centroids of the same encoder and `side`"
        )
    loan = Loan(
        file.digest,
        dim,
        centroids.clusters,
        root=centroids.root,
        path=file.path,
        bytes=file.bytes,
    )
    return listed(phase, borrow, [Task.whole(FILE, {}, loan)])


def borrow(io: TaskIo[Loan]) -> Iterator[pa.Table]:
    """The centroids of another run.

    Raises:
        StateError: they are no longer what they were when the run began.
    """
    args = io.args
    table = read(args.root, args.path, args.bytes, args.digest)
    io.notes |= {
        "clusters": io.args.clusters,
        "dim": io.args.dim,
        "borrowed": io.args.digest,
    }
    yield table
