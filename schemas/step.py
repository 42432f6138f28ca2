"""The base model of a step's settings, with the questions that the frame asks of them.

Each question has a neutral answer here. A step answers those that concern it, in the ``config.py`` of its folder.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from tamis.schemas.model import Model
from tamis.schemas.resources import Claimed, Resources

Share = Annotated[float, Field(gt=0, le=1)]
StepName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
Reasons = Mapping[str, str]
BY_RULE = "{rule}: {reason}"
"""A phrase of ``StepModel.phrases``."""
Width = Callable[[str | None], int | None]
"""From the name of an embedding, None for the only one, to its dimensions; None while they are unknown."""


class Change(Protocol):
    """A function that changes each path of a job."""

    def __call__(self, path: str, /, *, or_name: bool = False) -> str:
        """``or_name``: ``path`` may also be a published name; then it is changed only if it is a local file."""


class Plugged(Protocol):
    """A job's knowledge of a user's function, without importing it."""

    @property
    def source(self) -> str:
        """Its file, or its package, for people."""

    @property
    def type(self) -> str | None:
        """The Arrow type of its values; None before the job has been settled."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that it reads."""


class StepModel(Model, defer_build=True):  # most commands validate few of them
    """A step's settings: a unique name, which the ledger and ``tables/`` use, and what its own class adds."""

    kind: ClassVar[str]
    """The step's key in a job."""
    reasons: ClassVar[Reasons] = {}
    """Every reason for which the step drops a sample -> its meaning. The run refuses any other."""
    phrases: ClassVar[Mapping[str, str]] = {}
    """Reason -> a table's text for it, with the fields `reason`, `rule` and `bound`; "{reason}" by default."""
    is_last: ClassVar[bool] = False
    """True if the step stands once, after all others."""
    for_searches: ClassVar[bool] = False
    """True if the step drops nothing and makes nothing that later steps read: what decides again leaves it out."""
    selects: ClassVar[bool] = False
    """True if the step keeps a given share or number of samples, as selectors do."""
    listed: ClassVar[str] = ""
    """The field of a step that is written as a list: `names` of ``signals: [words]``."""
    implied: ClassVar[str] = ""
    """The field whose entries stand directly among the settings: `bounds` of ``rules: {words: ...}``."""
    likeness: ClassVar[str] = ""
    """Name of the measure in the ledger's `partner_value`; empty if the step finds no similar samples."""
    larger_is_alike: ClassVar[bool] = True
    """Whether a larger `partner_value` is more alike; it is not where a distance is measured."""
    cutting: ClassVar[tuple[str, ...]] = ()
    """Settings that only cut stored values: with other cuts it can decide again (``StepAudit.decide_again``)."""
    compares_samples: ClassVar[bool] = False
    """True if the stored values of a sample depend on the other samples that reach the step."""
    edge_phases: ClassVar[tuple[str, ...]] = ()
    """The phases whose tables hold every pair that it found alike; empty for a step that stores none."""
    instead: ClassVar[Mapping[str, str]] = {}
    """Settings that stand in the place of another -> that one. `tamis init` writes these as explanation alone."""
    training: ClassVar[tuple[str, ...]] = ()
    """Settings that determine the step's centroids; empty for a step without centroids."""
    measures: ClassVar[tuple[str, ...]] = ()
    """Columns of its table ``quotas`` that measure each concept, beside `size` and `quota`."""

    name: StepName = Field("", description="unique in the job; the step's kind by default")

    @model_validator(mode="before")
    @classmethod
    def _named_after_kind(cls, values: Any) -> Any:
        if isinstance(values, dict) and "name" not in values:
            return {**values, "name": cls.kind}
        return values

    @model_validator(mode="after")
    def _says_nothing_in_vain(self) -> Self:
        for name, alone in self.idle().items():
            field = type(self).model_fields[name]
            value = getattr(self, name)
            if value != field.get_default(call_default_factory=True):
                shown = json.dumps(value, default=str)
                raise ValueError(
                    f"`{field.alias or name}: {shown}` says nothing here, it belongs to {alone}: leave it out"
                )
        return self

    def idle(self) -> Mapping[str, str]:
        """Settings that mean nothing beside the others -> what they belong to. None is given but at its default."""
        return {}

    @classmethod
    def shorthand(cls, settings: Any) -> Any:
        """The settings in full, where a job wrote them in short: see ``listed`` and ``implied``."""
        if cls.listed and isinstance(settings, list):
            return {cls.listed: settings}
        if cls.implied and isinstance(settings, dict) and cls.implied not in settings:
            own = {key: value for key, value in settings.items() if key in cls.model_fields}
            entries = {key: value for key, value in settings.items() if key not in own}
            return {**own, cls.implied: entries}
        return settings

    @classmethod
    def purpose(cls) -> str:
        """The step's purpose, for the job file that `tamis init` writes: its docstring."""
        return inspect.getdoc(cls) or ""

    @property
    def makes_embedding(self) -> str:
        """Name of the embedding that the step makes; empty if it makes none."""
        return ""

    @property
    def takes_embeddings(self) -> bool:
        """True if that embedding comes with the input, and no model makes it."""
        return False

    @property
    def taken_embedding(self) -> str:
        """The input's name of that embedding; empty for the one without a name."""
        return ""

    @property
    def clustered_embedding(self) -> str | None:
        """Name of the embedding that the step clusters; None if it clusters none, or the job's only one."""
        return None

    @property
    def computes(self) -> tuple[str, ...]:
        """The signals that the step computes, in order."""
        return ()

    @property
    def by_lot(self) -> bool:
        """True if the ranks that the step gives are drawn by a hash of seed and uid, and measure nothing."""
        return False

    @property
    def texts(self) -> tuple[str, ...]:
        """Those signals of text that the step makes beside ``computes``."""
        return ()

    @property
    def passing_texts(self) -> Mapping[str, tuple[str, ...]]:
        """Signals -> the texts that the step lets pass of them; others are not of its concern."""
        return {}

    @property
    def scores(self) -> bool:
        """True if the step computes values for later steps, and only for samples that reach it."""
        return bool(self.computes or self.makes_embedding)

    @property
    def head_files(self) -> Mapping[str, str]:
        """Signals that a head computes -> the head's path."""
        return {}

    @property
    def named_prompts(self) -> tuple[str, ...]:
        """Of those the signals that are the name of the nearest prompt."""
        return ()

    @property
    def word_lists(self) -> Mapping[str, str]:
        """Signals that count the entries of a list of words -> the list's path."""
        return {}

    @property
    def classifier_files(self) -> Mapping[str, str]:
        """Signals that a classifier of captions computes -> the path of its file."""
        return {}

    @property
    def sought_labels(self) -> Mapping[str, str]:
        """Of those the signals that are the probability of a label -> the label."""
        return {}

    @property
    def plugged(self) -> Mapping[str, Plugged]:
        """Signals that a function of the user's own file computes -> what is known of it."""
        return {}

    def shown(self) -> dict[str, Any]:
        """The settings that the job says, for `tamis plan`."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    @property
    def reads_captions(self) -> bool:
        """True if the step works on captions, and samples without any are of no use to it."""
        return False

    @property
    def joins_by_picture(self) -> bool:
        """True if of samples with one picture the step keeps one, whatever their captions."""
        return False

    @property
    def aims(self) -> tuple[str, ...]:
        """Paths of the sets by whose samples the step chooses or learns: nothing of them may test the result."""
        return ()

    @property
    def shard_size(self) -> int | None:
        """Samples in each shard that the step writes; None if it writes no shards."""
        return None

    @property
    def repeated_by(self) -> str | None:
        """The signal that says how often each uid stands in the subset; None where each stands once."""
        return None

    @property
    def divided_by(self) -> str | None:
        """Name of the step whose tiers have shards of their own; None where all samples share theirs."""
        return None

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers that the step names, the lowest first; empty for a step that names none."""
        return ()

    @property
    def modules(self) -> tuple[str, ...]:
        """Python modules that the step's tasks import, beside those that every job needs."""
        return ()

    @property
    def redacts(self) -> bool:
        """True if the names, captions and pictures of the samples that the step drops are to be shown nowhere."""
        return False

    @property
    def leaves_gaps(self) -> bool:
        """True if what the step drops keeps its position in the shards, as a gap; no step that decides comes after."""
        return False

    @property
    def hidden_list(self) -> bool:
        """True if the list that the step reads is to be known by its sha256 alone, which its phase `list` notes."""
        return False

    @property
    def kept_by(self) -> tuple[str, Literal["highest", "lowest"]] | None:
        """The signal in whose order the step keeps, and which of its values are best; None where no signal decides."""
        return None

    @property
    def looks(self) -> bool:
        """True if the step may open pictures again, to compare them."""
        return False

    @property
    def kept_count(self) -> int | None:
        """Samples that the step is to keep; None where the job says no number of them."""
        return None

    def similarity(self, steps: Sequence[Any]) -> tuple[str, str] | None:
        """The signal of how well picture and caption fit that the step makes, and its encoder; None if it makes none.

        ``steps`` are the job's.
        """
        del steps
        return None

    def settled(self, steps: Sequence[Any]) -> Self:
        """The settings with the value that `auto` stands for, where the job's ``steps`` determine it.

        Raises:
            ValueError: they do not; the message says what to write instead.
        """
        del steps
        return self

    def meaning(self, reason: str) -> str | None:
        """The meaning of one of ``reasons`` with these settings; None for a reason of the frame's."""
        return self.reasons.get(reason)

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """Lines of `tamis plan` about what a person might not expect of these settings.

        Args:
            samples: of the whole input; None before they are counted.
            width: of each embedding.
        """
        del samples, width
        return ()

    def outcome(self, entered: int, dropped: int) -> Iterable[str]:
        """Lines about a finished run that show that these settings may not do what they are there for.

        Args:
            entered: samples that reached the step.
            dropped: those that it dropped.
        """
        del entered, dropped
        return ()

    def scaled(self, share: float) -> Self:
        """The settings for ``share`` of the samples: their counts in proportion."""
        del share
        return self

    def without_gpu(self) -> Self:
        """The settings for a machine that has no GPU."""
        return self

    def claim(self, machine: Resources) -> Claimed:
        """The most that one task of the step claims, where the job does not say it."""
        del machine
        return Claimed()

    def with_centroids(self, run: str) -> Self:
        """The same settings with the centroids of a step of a finished run: `RUN#STEP`."""
        del run
        return self

    def with_paths(self, change: Change) -> Self:
        """The same settings with ``change`` done to each path."""
        del change
        return self
