"""The difficulty of each pair among fixed reference pairs: those of the smallest hashes that reach the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.concepts.concepts import dimension
from tamis.pipeline.steps.difficulty import tasks
from tamis.pipeline.steps.difficulty.config import Difficulty as Config
from tamis.pipeline.steps.difficulty.tasks import Measured, Training
from tamis.pipeline.steps.shared import borrowed, early_heads, reference_pairs
from tamis.pipeline.steps.shared.config import nothing_reaches
from tamis.pipeline.steps.shared.over_embedding import OverEmbedding
from tamis.pipeline.steps.shared.vector_sets import VectorSet, embedding_in, steps_of, vector_set
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task
from tamis.schemas.errors import JobError


class Difficulty(OverEmbedding[Config]):
    """``drawn``, ``references`` and ``heads`` have what pairs are compared by, ``values`` the signal."""

    passing = reference_pairs.PASSING

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Captions are embedded too, and the other runs that the settings name fit.

        Raises:
            InputError, JobError, StateError: one line.
        """
        del inputs
        self.check_captions(
            "compares pictures with captions",
            "use an encoder with a text tower, or give text embeddings",
        )
        if isinstance(self.config.references, str):
            self._loans(self.config.references)
        self._trusted()

    def _trusted(self) -> VectorSet | None:
        config = self.config
        if config.trusted is None:
            return None
        shown = f"the trusted run `{storage.redact(config.trusted)}`"
        seed, most = self.job.seed, config.trained
        return vector_set(self.name, config.trusted, self.embed, seed, "both", most, shown=shown)

    def _loans(self, references: str) -> dict[str, borrowed.Loan]:
        """The tables that are taken of a finished run, by phase.

        Raises:
            JobError: it has no such step, another encoder's, or not the heads of this measure.
            StateError: a table is damaged.
        """
        run, _, wanted = references.partition("#")
        root = storage.absolute(run)
        shown = f"{self.name}: references: `{storage.redact(run)}`"
        steps = {
            step.name: step
            for step in steps_of(root, shown)
            if isinstance(step, Config) and wanted in ("", step.name)
        }
        if len(steps) != 1:
            raise JobError(
                f"{shown} has {'several steps' if steps else 'no step'} `difficulty`"
                f"{f' of the name {wanted}' if wanted else ''}: RUN#STEP names one of {', '.join(steps) or 'none'}"
            )
        ((name, theirs),) = steps.items()
        embedding_in(root, self.embed, shown, theirs.embedding)
        config = self.config
        if config.trains and theirs.measure not in ("learnability", config.measure):
            raise JobError(
                f"{shown} has measured {theirs.measure}, and has no heads for {config.measure}: name a run that has "
                "measured it"
            )
        needed = ("references", "heads") if config.trains else ("references",)
        found = {phase: paths.table(name, phase, phase) for phase in needed}
        for path in found.values():
            if not storage.exists(storage.join(root, path)):
                raise JobError(f"{shown}: {path} is gone: run that job again")
        return {phase: borrowed.loan(root, path, shown) for phase, path in found.items()}

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        config, name = self.config, self.name
        if isinstance(config.references, str):
            yield from self._borrowed(context, config.references)
        else:
            others = config.trained if config.trains else 0
            if config.trains:
                early_heads.check_enough(name, context.alive)
            yield from reference_pairs.phases(
                context, name, self.embedding, config.references, others
            )
            if config.trains:
                yield self._heads(context, min(config.references, context.alive))
        needed = ("references", "heads") if config.trains else ("references",)
        shared = {phase: context.done(name, phase).whole() for phase in needed}
        inputs = reference_pairs.inputs_of(context, self.embedding)
        measured = Measured(name, config.measure, config.temperature)
        function = tasks.values_by_heads if config.trains else tasks.values
        yield Phase("values", function, EachPart(context.parts, inputs, measured, shared=shared))

    def _heads(self, context: Context, references: int) -> Phase[Training]:
        config = self.config
        training = Training(
            references,
            config.trained,
            config.runs,
            config.steps,
            self.job.seed,
            self._trusted(),
            config.trusted_steps,
        )
        drawn = reference_pairs.drawn(context, self.name)
        return listed("heads", tasks.train, [Task.whole("heads", drawn, training)])

    def _borrowed(self, context: Context, references: str) -> Iterator[Phase[Any]]:
        if not context.alive:
            raise nothing_reaches(self.name)
        dimension(context, self.name, self.embedding)
        for phase, loan in self._loans(references).items():
            yield listed(phase, borrowed.copy, [Task.whole(phase, {}, loan)])
