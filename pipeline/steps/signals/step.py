"""Signals: stored columns about each living sample, which rules compare later and the ledger shows. Drops nothing.

One table a part: ``row`` and a column for each signal. A signal's version, its packages' versions, and the digest of a
head, a list, a classifier, a function of the user's own or an input file are part of the fingerprint, so another model
computes its part files again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tamis.pipeline import encoders
from tamis.pipeline.inputs import columns
from tamis.pipeline.inputs.caption_names import likely
from tamis.pipeline.inputs.formats import format_of, outline
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.plugins.packages import installed
from tamis.pipeline.signals import origins, plugin_files, text_classifier
from tamis.pipeline.signals.heads import Head, PromptHead
from tamis.pipeline.signals.origins import LackingError
from tamis.pipeline.signals.registry import SIGNALS, Origin
from tamis.pipeline.steps.shared.over_embedding import embedding_named, embeds_captions
from tamis.pipeline.steps.signals.config import Signals as Config
from tamis.pipeline.steps.signals.files import (
    read_head_file,
    read_list_file,
    sha256_of,
    stored_classifier,
)
from tamis.pipeline.steps.signals.mends import mend
from tamis.pipeline.steps.signals.tasks import Computed, Killed, decide, values
from tamis.pipeline.store import storage
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.parts import Part
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import CULPRITS
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.nearest import nearest
from tamis.schemas.resources import Claimed
from tamis.schemas.yaml12 import flow

SHOWN = 20
"""Of the names that a signal can be, so many are named where one is not found."""

_OF_TEXT = {name for name, signal in SIGNALS.items() if "text" in signal.reads}


class Signals(Step):
    """``values``: a table for each part. Only where a sample ended the process that computed them, a ``verdict``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        self.max_pixels = job.limits.max_pixels
        self.embedding = (
            embedding_named(job, config.embedding, config.name) if config.over_vectors else None
        )
        self.mixed = sorted({name for read in config.reads.values() for name in read})

    def needs(self) -> Sequence[Product]:
        """The embedding, where a head reads it, and the signals that heads take."""
        embedding = [product.embedding(self.embedding)] if self.embedding else []
        return [*embedding, *(product.signal(name) for name in self.mixed)]

    def makes(self) -> Mapping[Product, str]:
        """Every signal."""
        return {product.signal(name): "values" for name in self.config.computes}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Check that every signal can be computed or read, and every head.

        A file that the run has known may be gone: its values are stored, or its task says so.
        """
        try:
            origins.find(self.config, inputs)
        except LackingError as error:
            raise self._with_mend(error) from None
        gone = {path for path in self.config.digests if sha256_of(path, known=True) is None}
        for name, path in self.config.heads.items():
            if path not in gone:
                self._check_head(name, read_head_file(path)[1], inputs)
        for path in self.config.lists.values():
            if path not in gone:
                read_list_file(path)
        for name, path in self.config.classifiers.items():
            if path not in gone:  # one without a digest cannot be read, which is said
                classifier = stored_classifier(path, self.config.digests.get(path, ""))
                classifier.check(self.config.labels.get(name))
                if name not in self.config.labels:
                    self._check_allowed(name, classifier.labels)

    def _with_mend(self, error: LackingError) -> JobError:
        """The error with what mends it: settings; of an input without captions that which names their column."""
        number, entry = next((n, e) for n, e in enumerate(self.job.input) if e.name == error.entry)
        texts = {*self.config.lists, *self.config.classifiers} | _OF_TEXT
        if texts & {*error.names} and (refused := outline(error.first).refused) is not None:
            found = likely(name for name, kind in error.known.items() if kind == columns.TEXT)
            said = f": --set 'input.{number}.columns={{text: {flow(found[0])}}}'" if found else ""
            return JobError(f"{refused}{said}")
        if not error.known or outline(error.first).damage is not None:
            return error
        settings = mend(self.config, self.job.steps, error.names, error.known)
        fits = f"`tamis init --input '{storage.redact(entry.path[0])}'` writes a job that fits"
        return JobError(f"{error}: {settings or fits}")

    def _check_head(self, name: str, head: Head, inputs: Sequence[InputFile]) -> None:
        """A head takes the numbers of signals that the job says, or the vectors that the encoder makes."""
        if name in self.config.prompts and not (isinstance(head, PromptHead) and head.names):
            shown = storage.redact(self.config.heads[name])
            raise JobError(
                f"{self.name}: prompts: {name}: the head {shown} has no prompts with `names`: give it an array of "
                "them, or leave the signal out of `prompts`"
            )
        if name in self.config.prompts and isinstance(head, PromptHead):
            self._check_allowed(name, head.names)
        read = self.config.reads.get(name)
        if read is None:
            self._check_vectors(name, head)
            return
        if head.takes_text or head.dim != len(read):
            takes = "pictures and captions" if head.takes_text else f"{head.dim} numbers"
            raise JobError(
                f"{self.name}: reads: {name}: the head takes {takes}, and {len(read)} signals are named"
            )
        for signal in read:
            if signal in origins.text_signals(self.job.steps, inputs):
                raise JobError(f"{self.name}: reads: {name}: {signal} is text: name numbers")

    def _check_allowed(self, name: str, known: Sequence[str]) -> None:
        """Texts that a rule lets pass are among those that the signal can be; ``known`` is empty where nobody knows."""
        for step in self.job.steps:
            for one in step.passing_texts.get(name, ()):
                if known and one not in known:
                    raise JobError(
                        f"{step.name}: {name}: in: `{one}` is no name that {self.name} gives"
                        f"{nearest(one, known, SHOWN)}"
                    )

    def _check_vectors(self, name: str, head: Head) -> None:
        """A head over an embedding fits it, as far as the encoder tells before anything is embedded."""
        embed = next(one for one in self.job.embeds if one.makes_embedding == self.embedding)
        shown = f"{self.name}: {name}: the head {storage.redact(self.config.heads[name])}"
        dim = encoders.describe(embed.spec, embed.precision).dim
        if dim is not None and dim != head.dim:
            raise JobError(
                f"{shown} takes vectors of {head.dim:,} numbers, and `{embed.name}` makes {dim:,}: give the one that "
                "was made for this encoder"
            )
        if head.takes_text and not embeds_captions(self.job, embed):
            raise JobError(
                f"{shown} takes the vectors of captions too, and `{embed.name}` does not make them of every input: "
                "give a head of pictures, or captions' vectors too"
            )

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """A task a part, whose arguments hold the signals' origins in its input entry."""
        resolved = origins.find(self.config, context.inputs)
        digests = self.config.digests
        types = {name: str(kind) for name, kind in resolved.types.items()}
        for own in self.config.plugins.values():
            if own.packed is not None:
                plugin_files.keep(context.root, own.packed)
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        if self.embedding:
            inputs["embedding"] = context.embedding(self.embedding)
        for name in self.mixed:
            made = context.signal(name)
            inputs[product.signal(name).role] = made

        by_column = {
            entry
            for entry, of in resolved.by_entry.items()
            if any(origin.needs == "column" for origin in of.values())
        }
        of_entry: dict[tuple[str, str], Computed] = {}

        def computed(part: Part) -> Computed:
            file = context.inputs[part.file]
            sha256 = None
            if file.entry in by_column and not format_of(file).values_in_table:
                # Ingest's table does not hold these columns: the file's own digest stands for them.
                sha256 = context.done("ingest", "files").files.note(part.file)["sha256"]
            if (file.entry, file.kind) not in of_entry:
                of = resolved.by_entry[file.entry]
                of_entry[file.entry, file.kind] = self._computed(file, of, digests, types)
            return replace(of_entry[file.entry, file.kind], file=file, sha256=sha256)

        tasks = EachPart(context.parts, inputs, each=computed, bundle=1)
        signals = [
            origin.signal for entry in resolved.by_entry.values() for origin in entry.values()
        ]
        model = bool(self.config.classifiers) or any(
            signal is not None and signal.packages for signal in signals
        )
        claim = Claimed(pool=model)
        yield Phase("values", values, tasks, claim, per_row=True, by_sample=True)
        killed = dict(context.done(self.name, "values").files.noted(CULPRITS))
        if any(killed.values()):
            each = EachPart(
                context.parts, {}, each=lambda part: Killed(killed.get(part.number, []))
            )
            yield Phase(VERDICT, decide, each)

    def _computed(
        self,
        file: InputFile,
        of: Mapping[str, Origin],
        digests: Mapping[str, str],
        types: Mapping[str, str],
    ) -> Computed:
        """What tasks over files of the entry and kind of ``file`` are told, but for a file's own digest."""
        needed = {origin.needs for origin in of.values()}
        return Computed(
            types,
            {name: self._identity(origin, digests) for name, origin in of.items()},
            file=file,
            kind=file.kind if needed & {"pixels", "column"} else None,
            max_pixels=self.max_pixels if "pixels" in needed else None,
            paths={
                name: storage.absolute(path)
                for name, origin in of.items()
                if (path := origin.head or origin.words or origin.classifier) is not None
            },
        )

    def _identity(self, origin: Origin, digests: Mapping[str, str]) -> dict[str, Any]:
        """The identity of a signal's values beside the part's rows, as JSON."""
        if origin.head is not None:
            read = self.config.reads.get(origin.name)
            more: dict[str, Any] = {} if read is None else {"reads": [*read]}
            more |= {"prompt": True} if origin.name in self.config.prompts else {}
            return {"head": digests[origin.head], **more}
        if origin.words is not None:
            return {"list": digests[origin.words]}
        if origin.classifier is not None:
            label, packages = self.config.labels.get(origin.name), text_classifier.PACKAGES
            versions = [f"{package}=={installed(package)}" for package in packages]
            return {"classifier": digests[origin.classifier], "label": label, "packages": versions}
        if origin.column is not None:
            return {"column": origin.column}
        if origin.plugin is not None:
            return self.config.plugins[origin.name].identity
        assert origin.signal is not None, "an origin is one of the six"
        return {"signal": origin.signal.identity()}
