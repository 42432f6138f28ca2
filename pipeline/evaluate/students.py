"""What is trained on each subset: heads over the compared embedding, or a student that reads something else.

A selector that reads an embedding may be favoured by a student that reads the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms import heads, students
from tamis.pipeline.algorithms.contrastive import Learned, Sides, Teaching, Training
from tamis.pipeline.algorithms.heads import Scale
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.pictures import Pictures
from tamis.pipeline.evaluate.pairs import Pairs, Seen, embedding_of
from tamis.pipeline.tasks.product import Kind
from tamis.schemas.errors import JobError
from tamis.schemas.nearest import nearest

WORDS, PIXELS, MARK = "words", "pixels", ":"
"""``words``, ``words:EMBED`` and ``pixels``; any other name is that of an `embed` step."""
HEADS_SECONDS, WORDS_SECONDS, PIXELS_SECONDS = 0.004, 0.007, 0.05
"""Processor seconds of a training step of 128 pairs, about: of vectors of 512 to 700 dimensions, and of pictures."""


def step_seconds(name: str | None) -> float:
    """Processor seconds of a training step of the student that ``--student`` names, about."""
    if name == PIXELS:
        return PIXELS_SECONDS
    words = name is not None and name.partition(MARK)[0] == WORDS
    return WORDS_SECONDS if words else HEADS_SECONDS


_Scaling = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclass(frozen=True)
class Student:
    """A kind of student.

    ``embed``: name of the step whose vectors of pictures it reads; "" for pictures themselves. ``reads_captions``: it
    reads that step's vectors of captions too, and learns no words of its own. ``compared``: the step is the one whose
    embedding is compared.
    """

    embed: str
    reads_captions: bool
    compared: bool

    @classmethod
    def parse(cls, run: FinishedRun, name: str | None) -> Student:
        """Read the option ``--student``; None for heads over the compared embedding.

        Raises:
            JobError: no such student, or no such step; or it lacks vectors of captions.
        """
        compared = embedding_of(run).name
        if name is None:
            return cls(compared, True, True)
        if name == PIXELS:
            return cls("", False, False)
        kind, mark, embed = name.partition(MARK)
        words = kind == WORDS and (bool(mark) or all(s.name != WORDS for s in run.steps))
        step = (embed if mark else compared) if words else name
        known = [s.name for s in run.steps if s.makes_embedding]
        if step not in known:
            choices = [WORDS, PIXELS, *known, *(f"{WORDS}{MARK}{one}" for one in known)]
            raise JobError(
                f"--student {name}: no such student{nearest(name, choices)}: `{WORDS}`, `{PIXELS}`, or an `embed` "
                f"step, of which the run has {', '.join(known)}"
            )
        if not words and not run.made_by(step, Kind.SIGNAL):
            raise JobError(
                f"--student {name}: that step has no vectors of captions: {WORDS}{MARK}{step} learns words instead"
            )
        return cls(step, not words, step == compared)

    @property
    def told(self) -> str:
        """It, in words."""
        if self.reads_captions:
            return f"two linear heads over the embeddings of `{self.embed}`"
        read = (
            f"the picture embeddings of `{self.embed}`"
            if self.embed
            else (f"pictures of {students.SIDE} pixels")
        )
        return f"a small network over {read} and a bag of words, both from nothing"

    def seen_in(self, run: FinishedRun) -> Seen | None:
        """What it reads of a run's pairs, beside what every evaluation reads; None for nothing.

        Raises:
            JobError: the run has no such step.
        """
        if self.compared:
            return None
        if not self.embed:
            return Seen(pictures=lambda sids: Pictures(run).squares(sids, students.SIDE))
        if all(step.name != self.embed or not step.makes_embedding for step in run.steps):
            raise JobError(
                f"{run.root}: has no `embed` step `{self.embed}`, which the student reads: add it to its job"
            )
        return Seen(embed=self.embed, captions=self.reads_captions)

    def sides(self, pairs: Pairs) -> Sides:
        """What it reads of the pairs, as it was stored."""
        if self.embed:
            image = (pairs.image if self.compared else pairs.seen).astype(np.float32)
        else:
            image = pairs.seen
        if not self.reads_captions:
            return Sides(image, students.tokens(pairs.text.tolist()))
        told = pairs.caption if self.compared else pairs.told
        return Sides(image, told.astype(np.float32))

    def scales(self, pool: Sides) -> Callable[[Sides], Sides]:
        """The function that standardises vectors as those of a pool; pictures and words stay as they are."""
        image: _Scaling = Scale.of(pool.image) if self.embed else _as_it_is
        text: _Scaling = Scale.of(pool.text) if self.reads_captions else _as_it_is
        return lambda sides: Sides(image(sides.image), text(sides.text))

    def train(
        self, pairs: Sides, training: Training, seed: int, teaching: Teaching | None = None
    ) -> Learned:
        """Train it on pairs, standardised."""
        if self.reads_captions:
            return heads.train(pairs, training, seed, teaching=teaching)
        if self.embed:
            return students.of_features(pairs, training, seed, teaching)
        return students.of_pictures(pairs, training, seed, teaching)


HEADS = Student("embed", reads_captions=True, compared=True)
"""Heads over the compared embedding, whatever its step is called."""


def _as_it_is(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return rows
