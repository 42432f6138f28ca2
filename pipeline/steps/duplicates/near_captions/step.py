"""Near-duplicate captions: MinHash bands propose, true Jaccard decides, and the pictures have to agree.

Captions travel once, to the bucket of their own key, where equal ones are joined. Of each distinct caption only
a key of each band goes on, to meet others under. Those that met another send a sketch, which turns most false meetings
away. What is left are candidate groups; their captions travel once more, and are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tamis.pipeline.algorithms.near_captions import segmentation
from tamis.pipeline.algorithms.near_captions.minhash import choose_bands
from tamis.pipeline.algorithms.near_captions.sketch_filter import most_differing
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.duplicates import grouping, looking
from tamis.pipeline.steps.duplicates.edges import Rule
from tamis.pipeline.steps.duplicates.near_captions import meeting, tasks
from tamis.pipeline.steps.duplicates.near_captions.config import NEAR_CAPTION
from tamis.pipeline.steps.duplicates.near_captions.config import NearDuplicates as Config
from tamis.pipeline.steps.duplicates.reading import (
    bucket_phase,
    bucket_tasks,
    check_preference,
    living,
    needed,
)
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.exchange import range_starts
from tamis.pipeline.steps.shared.over_embedding import embedding_named
from tamis.pipeline.steps.shared.pictures import check_pictures
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Context, Step
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job


class NearDuplicates(Step):
    """``texts``, ``equal``; ``meeting``'s; ``members``, ``similar``; ``looking``'s; ``groups`` and ``verdict``.

    Table ``seen`` holds the verified edges of ``equal`` and ``similar`` with their values: all of them, but where a
    bucket has more nodes than ``Limits.every``, or a node more preferred neighbours than ``MOST_EDGES``: then the
    first of them, and ``unsearched`` is counted.
    """

    version = 13
    passing = (
        *("texts", "bands", "shared", "sketches", "alike", "members", "equal", "similar"),
        *looking.PASSING,
    )

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.steps = config, config.name, job.steps
        self.agree = config.agreement(job)
        self.detail = config.detail_bound(job)
        self.embedding: str | None = None
        if self.agree == "embedding":
            self.embedding = embedding_named(job, config.embedding, config.name)
        try:
            self.bands, self.rows = choose_bands(config.jaccard, config.permutations, config.recall)
        except ValueError as error:
            raise JobError(f"{config.name}: {error}") from None
        self.pictures = tasks.Pictures(
            self.agree,
            hamming=config.hamming if self.agree == "phash" else None,
            difference=config.difference if self.agree == "phash" else 0.0,
            cosine=config.cosine if self.agree == "embedding" else None,
        )

    def needs(self) -> Sequence[Product]:
        """The embedding, where pictures are compared by it, and the signal that is preferred by."""
        embeddings = [product.embedding(self.embedding)] if self.embedding else []
        return embeddings + needed(self.config.preferred_signal)

    def spared(self, need: Product) -> str:
        """By comparing no pictures, or their hashes."""
        if need.kind is not product.Kind.EMBEDDING:
            return ""
        return ", or say `agree: phash` or `agree: none`"

    def check(self, inputs: Sequence[InputFile]) -> None:
        """There are pictures, where they are compared by their hashes, and what is preferred by is a number.

        Raises:
            JobError: no input has any, or it is text; or what segments captions is not installed.
        """
        if self.config.segments and _segmentation() is None:
            raise JobError(
                f"{self.name}: segment needs the extra `signals` ({segmentation.PACKAGE}): pip install 'tamis[signals]'"
            )
        check_preference(self.name, self.config.preferred_signal, self.steps, inputs)
        if self.agree == "phash":
            mend = ": set `agree: none`, or `agree: embedding` after an `embed` step"
            check_pictures(self.name, inputs, mend)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class and the module."""
        texts = bucket_counts.of_captions(context.alive, bool(self.embedding))
        yield Phase("texts", tasks.texts, self._text_tasks(context, texts))
        by_text = self._done(context, "texts")
        yield bucket_phase("equal", tasks.equal, texts, self.pictures, texts=by_text)
        yield from self._candidates(context, by_text, texts)
        yield from self._similar(context, by_text, texts)
        pairs = ("equal", "similar")
        yield from looking.phases(context, self.name, pairs, self.detail)
        rule = Rule(
            "jaccard",
            value="jaccard",
            bound=self.config.jaccard,
            larger=True,
            chain=self.config.group == "chain",
            starts=range_starts(context),
        )
        yield from grouping.phases(context, self.name, self.config.edge_phases, rule, NEAR_CAPTION)

    def _candidates(self, context: Context, by_text: Done, texts: int) -> Iterator[Phase[Any]]:
        """``bands``, ``shared``, ``sketches`` and ``alike``: which captions may be alike."""
        spread = bucket_counts.Bands.of(context.alive, self.bands)
        banded = meeting.Bands(
            self._ngram,
            (self.bands, self.rows),
            self.config.kernel,
            context.job.seed,
            spread.each,
            spread.parts,
        )
        yield bucket_phase("bands", meeting.bands, texts, banded, spread.buckets, texts=by_text)
        by_band = self._done(context, "bands")
        met = meeting.Shared(spread.each, spread.parts, self.bands, texts)
        yield bucket_phase("shared", meeting.shared, spread.buckets, met, texts, bands=by_band)
        shared = self._done(context, "shared")
        buckets = bucket_counts.of_meetings(shared.total("met"))
        tasks = bucket_tasks(texts, meeting.Sketches(buckets), shared=shared)
        with_bits = [
            replace(task, inputs={**task.inputs, "own": (by_band.last(task.number),)})
            for task in tasks
        ]
        yield listed("sketches", meeting.sketches, with_bits, buckets=buckets)
        most = most_differing(self.config.jaccard, self.bands * self.rows)
        sketches = self._done(context, "sketches")
        similar = meeting.Alike(most, texts)
        yield bucket_phase("alike", meeting.alike, buckets, similar, texts, sketches=sketches)

    def _similar(self, context: Context, by_text: Done, texts: int) -> Iterator[Phase[Any]]:
        """``members`` and ``similar``: the candidates are compared."""
        candidates = self._done(context, "alike")
        count = candidates.total("candidates")
        searches = self._searches(count, self._done(context, "bands"))
        pictures = asdict(self.pictures)
        chosen = tasks.Members(**pictures, buckets=searches)
        yield bucket_phase(
            "members", tasks.members, texts, chosen, searches, texts=by_text, alike=candidates
        )
        compared = tasks.Similar(**pictures, ngram=self._ngram, jaccard=self.config.jaccard)
        members = self._done(context, "members")
        yield bucket_phase("similar", tasks.similar, searches, compared, members=members)

    @property
    def _ngram(self) -> meeting.Ngram:
        return self.config.unit, self.config.ngram

    def _searches(self, candidates: int, captions: Done) -> int:
        """Tasks that compare the candidates, by the samples that these are: each picture of a caption is one."""
        if self.agree != "none":
            candidates *= -(-captions.total("samples") // max(1, captions.total("captions")))
        return bucket_counts.of_candidates(candidates, bool(self.embedding))

    def _done(self, context: Context, phase: str) -> Done:
        return context.done(self.name, phase)

    def _text_tasks(self, context: Context, buckets: int) -> EachPart[tasks.Texts]:
        config = self.config
        inputs = living(context, config.preferred_signal)
        if self.embedding:
            inputs["embedding"] = context.embedding(self.embedding)
        segmented_by = _segmentation() if config.segments else None
        spread = tasks.Texts(
            buckets, self.agree == "phash", config.preference, config.fold, segmented_by
        )
        return EachPart(context.parts, inputs, spread, buckets=buckets)


def _segmentation() -> str | None:
    """The version of what cuts captions into words; None where it is not installed."""
    try:
        return f"{segmentation.PACKAGE}=={version(segmentation.PACKAGE)}"
    except PackageNotFoundError:
        return None
