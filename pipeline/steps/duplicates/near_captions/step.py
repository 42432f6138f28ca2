"""Near-duplicate captions: MinHash bands propose, true Jaccard decides, and the pictures have to agree.

Captions travel once, to the bucket of their own key, where equal ones are joined. Of each distinct caption only
a few bytes a band go on: a key to meet others under, and a sketch that turns most false meetings away. What is left
are candidate groups; their captions travel once more, and are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tamis.pipeline.algorithms.near_captions.minhash import choose_bands
from tamis.pipeline.algorithms.near_captions.sketch_filter import most_differing
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.duplicates import grouping
from tamis.pipeline.steps.duplicates.near_captions import tasks
from tamis.pipeline.steps.duplicates.near_captions.config import NEAR_CAPTION
from tamis.pipeline.steps.duplicates.near_captions.config import NearDuplicates as Config
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.exchange import verdict_phase
from tamis.pipeline.steps.shared.parts import check_pictures, embedding_named, part_task
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Done, Part, Phase, Task
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job


class NearDuplicates(Step):
    """``texts``, ``equal``, ``bands``, ``shared``, ``members``, ``similar``; then ``groups`` and ``verdict``.

    Tables ``equal`` and ``similar`` hold verified edges with their values: all of them, but where a component has more
    than 64 a member, a bucket more than 128 captions, or a caption more than 128 pictures. Those keep what makes the
    components, and the most similar neighbour of each member among all that were compared.
    """

    version = 7

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name = config, config.name
        self.agree = config.agreement(job)
        self.embedding: str | None = None
        if self.agree == "embedding":
            self.embedding = embedding_named(job, config.embedding, config.name)
        try:
            self.bands, self.rows = choose_bands(config.jaccard, config.permutations, config.recall)
        except ValueError as error:
            raise JobError(f"{config.name}: {error}") from None

    def needs(self) -> Sequence[str]:
        """The embedding, where pictures are compared by it."""
        return [f"embedding:{self.embedding}"] if self.embedding else []

    def check(self, inputs: Sequence[InputFile]) -> None:
        """There are pictures, where they are compared by their hashes.

        Raises:
            JobError: no input has any.
        """
        if self.agree == "phash":
            mend = ": set `agree: none`, or `agree: embedding` after an `embed` step"
            check_pictures(self.name, inputs, mend)

    def phases(self, context: Context) -> Iterator[Phase]:
        """See the class and the module."""
        texts = bucket_counts.of_captions(context.alive, bool(self.embedding))
        yield Phase(
            "texts",
            tasks.texts,
            [self._text_task(context, part) for part in context.parts],
            {"buckets": texts, "pictures": self.agree == "phash"},
        )
        by_text = self._done(context, "texts")
        yield Phase("equal", tasks.equal, _each(texts, texts=by_text), self._agreement)
        yield from self._candidates(context, by_text, texts)
        yield from self._similar(context, by_text, texts)
        edges = [
            *self._done(context, "equal").whole(),
            *self._done(context, "similar").whole(),
        ]
        rule = grouping.Rule("jaccard", "jaccard", self.config.jaccard, larger=True)
        yield from grouping.phases(context, self.name, edges, rule, self.config.prefer)
        yield verdict_phase(context, self._done(context, "groups"), NEAR_CAPTION)

    @property
    def _agreement(self) -> Mapping[str, Any]:
        used = {"phash": "hamming", "embedding": "cosine"}.get(self.agree)
        return {"agree": self.agree} | ({used: getattr(self.config, used)} if used else {})

    @property
    def _ngram(self) -> list[Any]:
        return [self.config.unit, self.config.ngram]

    def _candidates(self, context: Context, by_text: Done, texts: int) -> Iterator[Phase]:
        """``bands`` and ``shared``: which captions may be alike."""
        spread = bucket_counts.Bands.of(context.alive, self.bands)
        scheme = {
            "ngram": self._ngram,
            "bands": [self.bands, self.rows],
            "kernel": self.config.kernel,
            "seed": context.job.seed,
        }
        shares = {"each": spread.each, "parts": spread.parts}
        yield Phase("bands", tasks.bands, _each(texts, texts=by_text), {**scheme, **shares})
        by_band = self._done(context, "bands")
        most = most_differing(self.config.jaccard, self.bands * self.rows)
        counted = {**shares, "bands": self.bands, "most": most}
        yield Phase("shared", tasks.shared, _each(spread.buckets, bands=by_band), counted)

    def _similar(self, context: Context, by_text: Done, texts: int) -> Iterator[Phase]:
        """``members`` and ``similar``: the candidates are compared."""
        asked = self._done(context, "shared")
        searches = self._searches(asked.total("candidates"), self._done(context, "bands"))
        together = _each(texts, texts=by_text, shared=asked)
        yield Phase("members", tasks.members, together, {**self._agreement, "buckets": searches})
        found = _each(searches, members=self._done(context, "members"))
        verify = {**self._agreement, "ngram": self._ngram, "jaccard": self.config.jaccard}
        yield Phase("similar", tasks.similar, found, verify)

    def _searches(self, candidates: int, captions: Done) -> int:
        """Tasks that compare the candidates, by the samples that these are: each picture of a caption is one."""
        if self.agree != "none":
            candidates *= -(-captions.total("samples") // max(1, captions.total("captions")))
        return bucket_counts.of_candidates(candidates, bool(self.embedding))

    def _done(self, context: Context, phase: str) -> Done:
        return context.done(self.name, phase)

    def _text_task(self, context: Context, part: Part) -> Task:
        inputs: dict[str, Any] = {"ingest": [context.ingest(part)], "drops": context.drops(part)}
        if self.embedding:
            inputs["embedding"] = [context.embedding(self.embedding, part)]
        return part_task(part, inputs, part=part.number)


def _each(buckets: int, **roles: Done) -> list[Task]:
    """A task a bucket, which reads that bucket of each role."""
    return [
        Task(f"bucket-{b:05d}", {role: done.groups(b) for role, done in roles.items()})
        for b in range(buckets)
    ]
