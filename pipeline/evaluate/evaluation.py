"""``tamis evaluate``: from a finished run to ``evaluation.json``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tamis.pipeline import encoders
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.evaluate import compare, heads, holdout
from tamis.pipeline.evaluate.choices import Choices, Settings, names, with_concepts
from tamis.pipeline.evaluate.compare import Asked, Classes
from tamis.pipeline.evaluate.foreign import open_holdout
from tamis.pipeline.evaluate.holdout import Holdout
from tamis.pipeline.evaluate.pairs import MOST_PAIRS, Pairs, embedding_of, read
from tamis.schemas.errors import JobError
from tamis.schemas.evaluation import FULL, OWN, RANDOM, Evaluation, Training
from tamis.schemas.nearest import nearest

FEW_TESTED = 200
"""Number of test pairs below which a warning is due: with 200, R@10 varies by 0.03 by chance."""


@dataclass(frozen=True)
class Request:
    """The options of ``tamis evaluate``. ``holdout``: a share in (0, 1), a finished run, or input files."""

    holdout: str
    against: Sequence[str]
    budgets: Sequence[float]
    seeds: int
    classes: str | None = None
    steps: int = heads.STEPS
    threads: int = 1


def evaluate(
    run: FinishedRun, request: Request, done: Callable[[int, int], None] | None = None
) -> Evaluation:
    """Compare the selectors. ``done`` is called with the number of trained heads, and of all.

    Raises:
        JobError: an unknown selector, a budget or a share out of range, too little to measure on.
        StateError: the run has no embeddings of both sides.
    """
    asked = _asked(request)
    settings = Settings.of(run)
    settings.check(asked.selectors)
    pairs = read(run, settings.signals, request.classes)
    read_of = _read_of(run, len(pairs))
    share = _share(request.holdout)
    if share is None:
        pairs, holdouts = _foreign(run, pairs, request)
    else:
        pairs = _in_order(pairs)
        group = holdout.groups(pairs)
        holdouts = [holdout.by_share(pairs, group, share, seed) for seed in asked.seeds]
    pairs, centroids = with_concepts(run, pairs, settings)
    trials, notes = compare.plan(pairs, holdouts, Choices(settings, centroids), asked)
    training = Training(
        steps=request.steps,
        batch=compare.batch_of(trials),
        width=heads.WIDTH,
        rate=heads.RATE,
        decay=heads.DECAY,
    )
    classes = _classes(run, pairs, request.classes, holdouts)
    measured = compare.measure(
        pairs,
        holdouts,
        trials,
        training,
        classes,
        request.threads,
        None if done is None else lambda count: done(count, len(trials)),
    )
    return Evaluation(
        job=run.manifest.job["name"],
        encoder=embedding_of(run).encoder,
        holdout=request.holdout,
        classes=request.classes,
        training=training,
        splits=tuple(held.split for held in holdouts),
        points=tuple(compare.points(trials, measured)),
        notes=(*read_of, *_small(holdouts), *notes),
    )


def _asked(request: Request) -> Asked:
    known = [*names(), FULL, OWN]
    for name in request.against:
        if name not in known:
            raise JobError(f"--against {name}: no such selector{nearest(name, known)}")
    for share in request.budgets:
        if not 0 < share < 1:
            raise JobError(f"--budgets {share:g}: a budget is a share of the pool, between 0 and 1")
    if request.seeds < 1:
        raise JobError(f"--seeds {request.seeds}: at least 1, and 5 for a test that says something")
    # Everything is compared with random pairs of the same number, asked for or not.
    selectors = list(dict.fromkeys(["density", RANDOM, *request.against]))
    return Asked(selectors, sorted(set(request.budgets)), range(request.seeds))


def _share(text: str) -> float | None:
    """The share that ``--holdout`` gives; None if it is not a number."""
    try:
        share = float(text)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise JobError(f"--holdout {text}: a share lies between 0 and 1, such as 0.2")
    return share


def _in_order(pairs: Pairs) -> Pairs:
    return pairs.take(np.lexsort((pairs.uid[:, 1], pairs.uid[:, 0])))


def _foreign(run: FinishedRun, pairs: Pairs, request: Request) -> tuple[Pairs, list[Holdout]]:
    """The run's pairs and the foreign ones, which make up the holdout of every seed."""
    other = open_holdout(run, request.holdout)
    theirs = read(other, [], request.classes, holdout.TESTED * 10)
    if theirs.image.shape[1] != pairs.image.shape[1]:
        raise JobError(
            f"--holdout {request.holdout}: has embeddings of {theirs.image.shape[1]} dimensions, the run of "
            f"{pairs.image.shape[1]}: use the same encoder"
        )
    none = np.zeros(len(theirs), dtype=bool)
    theirs = replace(
        theirs,
        signals=np.full((len(theirs), pairs.signals.shape[1]), np.nan),
        candidate=none,
        kept=none,
        cluster=np.full(len(theirs), -1, np.int32),
    )
    # A sample may be in both runs under one uid: the foreign one's is told apart by a bit.
    theirs.uid[:, 0] ^= np.uint64(1 << 63)
    joined = pairs.joined(theirs)
    foreign = np.arange(len(joined)) >= len(pairs)
    order = np.lexsort((joined.uid[:, 1], joined.uid[:, 0]))
    joined, foreign = joined.take(order), foreign[order]
    group = holdout.groups(joined)
    first = holdout.by_origin(joined, group, foreign, 0)
    splits = (first.split.model_copy(update={"seed": seed}) for seed in range(request.seeds))
    return joined, [replace(first, split=split) for split in splits]


def _classes(
    run: FinishedRun, pairs: Pairs, column: str | None, holdouts: Sequence[Holdout]
) -> Classes | None:
    """The names in ``column``, as the run's encoder reads them.

    Raises:
        JobError: fewer than two classes, or an encoder that reads no text.
    """
    if column is None:
        return None
    classes = sorted({label for label in pairs.label.tolist() if label})
    label = np.array([classes.index(name) if name else -1 for name in pairs.label.tolist()])
    least = min(int((label[held.tested] >= 0).sum()) for held in holdouts)
    if len(classes) < 2 or not least:
        raise JobError(
            f"--classes {column}: {len(classes)} different names, and {least} held-out pairs with one: at least two "
            "names and some pairs are needed"
        )
    embed = embedding_of(run)
    if embed.takes_embeddings:
        raise JobError(
            f"--classes {column}: the run's embeddings came with its input, and no encoder is known that could "
            "read the names: leave --classes out"
        )
    encoder = encoders.load(embed.encoder, embed.device, embed.precision)
    return Classes(encoder.encode_texts([name.replace("_", " ") for name in classes]), label)


def _read_of(run: FinishedRun, count: int) -> list[str]:
    """Notes about the pairs of the run that take no part."""
    if count == MOST_PAIRS:
        return [
            (
                f"{MOST_PAIRS:,} pairs of the run, chosen by hash, are compared: few of them have their duplicates "
                "beside them, so deduplication does less here than on all"
            )
        ]
    missing = run.manifest.rows_in - count
    if not missing:
        return []
    return [
        (
            f"{missing:,} of {run.manifest.rows_in:,} samples have no embedding and take no part: put `embed` first to "
            "compare with what is dropped before it"
        )
    ]


def _small(holdouts: Sequence[Holdout]) -> list[str]:
    small = min(held.split.tested for held in holdouts)
    if small >= FEW_TESTED:
        return []
    return [f"only {small:,} pairs to measure on: differences of a few hundredths are noise"]
