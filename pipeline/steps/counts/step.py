"""Counts over the whole pool, as signals: by an exchange of keys, a sample of captions, and counts of shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tamis.pipeline.inputs.formats import may_have_url
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.concepts.concepts import sample_bound
from tamis.pipeline.steps.counts import shapes, tasks
from tamis.pipeline.steps.counts.config import BOILERPLATE, OF_SHAPES, OF_URLS
from tamis.pipeline.steps.counts.config import Counts as Config
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.pipeline.steps.shared.exchange import range_phase, range_starts
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart, Source
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.scope import Scope


class Counts(Step):
    """``keys`` and ``totals`` count; ``sampled`` and ``frequent`` find boilerplate, ``shapes`` and ``usual`` what
    shapes are odd; ``values`` has the signals.
    """

    passing = ("keys", "totals", "sampled", "shapes")

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.seed = config, config.name, job.seed
        self.shapes = tuple(name for name in config.names if name in OF_SHAPES)
        self.counted = tuple(
            name for name in config.names if name != BOILERPLATE and name not in OF_SHAPES
        )

    def makes(self) -> Mapping[Product, str]:
        """A signal for each name."""
        return {product.signal(self.config.signal(name)): "values" for name in self.config.names}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Some input can have URLs, where they are counted.

        Raises:
            JobError: none has.
        """
        by_url = [name for name in self.config.names if name in OF_URLS]
        if by_url and not any(map(may_have_url, inputs)):
            raise JobError(f"{self.name}: {by_url[0]}: no input has a column of URLs: leave it out")

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        living: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        roles: dict[str, Done] = {}
        if self.counted:
            buckets = buckets_for(context.alive * len(self.counted))
            keys = tasks.Keys(self.counted, buckets)
            yield Phase("keys", tasks.keys, EachPart(context.parts, living, keys, buckets=buckets))
            made, starts = context.done(self.name, "keys"), range_starts(context)
            totals = [
                Task(Scope.BUCKET, b, {"keys": made.groups(b)}, tasks.Totals(starts))
                for b in range(buckets)
            ]
            yield listed("totals", tasks.totals, totals, buckets=len(starts))
            roles["totals"] = context.done(self.name, "totals")
        shared: dict[str, Sequence[Source]] = {}
        if BOILERPLATE in self.config.names:
            yield from self._frequent(context, living)
            shared["frequent"] = context.done(self.name, "frequent").whole()
        if self.shapes:
            counting = shapes.Counting(self.shapes)
            by_part = EachPart(context.parts, living, counting, buckets=1)
            yield Phase("shapes", shapes.count, by_part)
            seen = {"shapes": context.done(self.name, "shapes").whole()}
            yield listed("usual", shapes.usual, [Task.whole("usual", seen, counting)])
            shared["usual"] = context.done(self.name, "usual").whole()
        names: dict[str, str] = {name: self.config.signal(name) for name in self.config.names}
        yield range_phase(
            context,
            "values",
            tasks.values,
            roles,
            lambda parts: tasks.Wanted(names, self.config.words, parts[0]),
            members={role: [by] if isinstance(by, ByPart) else by for role, by in living.items()},
            shared=shared,
        )

    def _frequent(
        self, context: Context, living: Mapping[str, ByPart | Sequence[ByPart]]
    ) -> Iterator[Phase[Any]]:
        """The frequent runs of words, of captions that are sampled by their hashes."""
        config = self.config
        wanted = max(1, min(config.sample, context.alive))
        below = sample_bound(wanted, max(1, context.alive))
        drawing = tasks.Drawing(self.seed, below)
        yield Phase("sampled", tasks.draw, EachPart(context.parts, living, drawing, buckets=1))
        drawn = {"sampled": context.done(self.name, "sampled").whole()}
        finding = tasks.Finding(wanted, config.words, config.most, config.least)
        yield listed("frequent", tasks.frequent, [Task.whole("frequent", drawn, finding)])
