"""``tamis evaluate``: from a finished run to ``evaluation.json``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tamis.pipeline import encoders
from tamis.pipeline.algorithms import heads
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.evaluate import compare, holdout, rarity
from tamis.pipeline.evaluate.choices import Chain, Choices, Settings, names, with_concepts
from tamis.pipeline.evaluate.compare import Asked, Bench, Classes, Trial
from tamis.pipeline.evaluate.holdout import Holdout
from tamis.pipeline.evaluate.pairs import MOST_PAIRS, Pairs, embedding_of
from tamis.pipeline.evaluate.sources import HeldOut, held_out, notes, target_pairs
from tamis.pipeline.evaluate.students import Student
from tamis.schemas.errors import JobError
from tamis.schemas.evaluation import EPOCHS, FULL, OWN, RANDOM, Evaluation, Point, Training
from tamis.schemas.nearest import nearest

LEAST_STEPS = 200
"""Of a training whose length is not said."""


@dataclass(frozen=True)
class Request:
    """The options of ``tamis evaluate``.

    ``steps``: lengths of training; empty for one in which all pairs of the pool are seen ``EPOCHS`` times.
    ``mismatch``: the share of the pool's captions that are exchanged.
    ``target``: a finished run, or input files, whose pairs are known: all is trained with them too.
    ``student``: what is trained; None for heads over the compared embedding.
    ``distil``: weights of what a teacher says who was trained on all pairs: all is trained with each of them too.
    """

    held_out: HeldOut
    against: Sequence[str]
    budgets: Sequence[float]
    seeds: int
    classes: str | None = None
    steps: Sequence[int] = ()
    mismatch: float = 0.0
    threads: int = 1
    target: str | None = None
    student: str | None = None
    distil: Sequence[float] = ()


class Progress(Protocol):
    """Observer of the training of students."""

    def __call__(self, done: int, of: int, /) -> None:
        """``done`` of all steps of all students are made; called with 0 before the first."""


def evaluate(run: FinishedRun, request: Request, done: Progress | None = None) -> Evaluation:
    """Compare the selectors.

    Raises:
        JobError: an unknown selector, a budget or a share out of range, too little to measure on.
        StateError: the run has no embeddings of both sides.
    """
    settings = Settings.of(run)
    asked = _asked(request, settings)
    settings.check([part for name in asked.selectors for part in Chain.parse(name).names])
    student = _student(run, request)
    root, target = target_pairs(run, request.target) if request.target else (None, None)
    pairs, holdouts, own, told = held_out(
        run, request.held_out, settings.signals, request.classes, asked.seeds, root, student
    )
    pairs, centroids = with_concepts(run, pairs, settings)
    if request.mismatch:
        similarity = settings.column(settings.similarity)
        holdouts = [
            holdout.exchanged(pairs, held, request.mismatch, similarity) for held in holdouts
        ]
    plain, left_out = compare.plan(pairs, holdouts, Choices(settings, centroids), asked)
    trials = [*plain, *compare.with_teacher(plain, request.distil)]
    if target is not None:
        trials += compare.beside_target(plain, asked.seeds)
    trainings = _trainings(request, holdouts, compare.batch_of(trials, target))
    classes = _classes(run, pairs, request.classes, holdouts)
    groups = rarity.of_every(rarity.concepts(pairs, centroids), holdouts)
    bench = Bench(pairs, holdouts, student, classes, target, groups)
    points = _measured(bench, trials, trainings, request.threads, done)
    return Evaluation(
        job=run.manifest.job["name"],
        encoder=embedding_of(run).encoder,
        student=student.told,
        holdout=str(request.held_out),
        classes=request.classes,
        training=trainings[-1],
        splits=tuple(held.split for held in holdouts),
        points=points,
        notes=(
            *_read_of(run, own),
            *told,
            *notes(request.held_out, holdouts[0].split.sources),
            *_circular(settings, asked.selectors, student),
            *_exchanged(request),
            *left_out,
        ),
    )


def _trainings(request: Request, holdouts: Sequence[Holdout], batch: int) -> list[Training]:
    """The trainings, the shortest first."""
    largest = max(len(held.pool) for held in holdouts)
    enough = max(LEAST_STEPS, math.ceil(EPOCHS * largest / batch))
    return [
        Training(steps=steps, batch=batch, width=heads.WIDTH, rate=heads.RATE, decay=heads.DECAY)
        for steps in sorted(set(request.steps)) or [enough]
    ]


def _measured(
    bench: Bench,
    trials: Sequence[Trial],
    trainings: Sequence[Training],
    threads: int,
    done: Progress | None,
) -> tuple[Point, ...]:
    """The points after each training."""
    count = compare.students_of(trials)
    total = count * sum(training.steps for training in trainings)
    made, before = list[Point](), 0
    if done is not None:
        done(0, total)
    for training in trainings:
        told = None if done is None else _told(done, before, training.steps, total)
        measured = bench.measure(trials, training, threads, told)
        made += compare.points(trials, measured, training.steps, bench.target)
        before += count * training.steps
    return tuple(made)


def _told(done: Progress, before: int, steps: int, total: int) -> Callable[[int], None]:
    """Tell of the steps of so many students, after ``before`` others."""
    return lambda trained: done(before + trained * steps, total)


def _student(run: FinishedRun, request: Request) -> Student:
    """The student that is asked for.

    Raises:
        JobError: there is none, or it cannot read what else is asked for.
    """
    student = Student.parse(run, request.student)
    for option, asked in (("--target", request.target), ("--classes", request.classes)):
        if asked and not (student.compared and student.reads_captions):
            raise JobError(
                f"--student {request.student}: it cannot read what {option} gives, which is embedded by "
                f"`{embedding_of(run).name}`: leave one of the two out"
            )
    return student


def _asked(request: Request, settings: Settings) -> Asked:
    known = list(dict.fromkeys([*names(), FULL, OWN, *settings.choices]))
    for name in request.against:
        try:
            chain = Chain.parse(name)
        except ValueError as error:
            raise JobError(f"--against {name}: {error}") from None
        for part in chain.names:
            if part not in known or (chain.filters and part in (FULL, OWN)):
                if part in settings.unnamed:
                    raise JobError(
                        f"--against {name}: `{part}` cannot be chosen again in memory: what a run's steps chose is "
                        f"compared as `{OWN}`, alone and in a run that has the step; by name: {', '.join(known)}"
                    )
                raise JobError(f"--against {name}: no such selector{nearest(part, known)}")
    _check_numbers(request)
    # Everything is compared with random pairs of the same number, asked for or not.
    selectors = list(dict.fromkeys(["density", RANDOM, *request.against]))
    if request.mismatch:  # the run has never seen the exchanged captions
        selectors = [name for name in selectors if name != OWN]
    return Asked(selectors, sorted(set(request.budgets)), range(request.seeds))


def _check_numbers(request: Request) -> None:
    for share in request.budgets:
        if not 0 < share < 1:
            raise JobError(f"--budgets {share:g}: a budget is a share of the pool, between 0 and 1")
    if request.seeds < 1:
        raise JobError(f"--seeds {request.seeds}: at least 1, and 5 for a test that says something")
    for alpha in request.distil:
        if not 0 < alpha <= 1:
            raise JobError(
                f"--distil {alpha:g}: the teacher's share of the loss, above 0 and up to 1, such as 0.5"
            )
    if not 0 <= request.mismatch < 1:
        raise JobError(
            f"--mismatch {request.mismatch:g}: the share of captions that are exchanged, from 0 to below 1"
        )


def _circular(settings: Settings, selectors: Sequence[str], student: Student) -> list[str]:
    """A note about selectors that read the similarity of the very embedding that the student reads."""
    if not student.compared:
        return []
    read = {
        name
        for name in selectors
        for part in Chain.parse(name).names
        if part in settings.choices and settings.choices[part].signal == settings.similarity
    }
    if not read:
        return []
    favoured = ", ".join(sorted(read))
    return [
        (
            f"{favoured}: by the similarity of the embedding that the student reads, which may favour them; sources "
            "that its encoder has not seen tell, and so does --student words:EMBED of another embedding, or pixels"
        )
    ]


def _exchanged(request: Request) -> list[str]:
    if not request.mismatch:
        return []
    return [
        (
            f"{100 * request.mismatch:g}% of the pool's captions were exchanged, others for each seed: similarities "
            "are those of the new pairs, all else is as it was, and what the run itself kept is no choice here"
        )
    ]


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
    numbers = {name: number for number, name in enumerate(classes)}
    label = np.array([numbers[name] if name else -1 for name in pairs.label.tolist()])
    least = min(
        sum(int((label[rows] >= 0).sum()) for rows in held.tested.values()) for held in holdouts
    )
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
    if embed.own is not None:
        raise JobError(
            f"--classes {column}: the run's encoder is code of its own, and to read a run imports nothing: leave "
            "--classes out"
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
