"""The settings of `signals`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, WithJsonSchema, model_validator

from tamis.schemas.model import Model
from tamis.schemas.step import Change, StepModel

if TYPE_CHECKING:
    from tamis.pipeline.signals.plugin import Form

_ENTRY = {
    "type": "object",
    "properties": {
        "file": {"type": "string"},
        "package": {"type": "string"},
        "name": {"type": "string"},
        "with": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name"],
    "additionalProperties": False,
}
_NAMES = {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, _ENTRY]}}


class Code(Model, defer_build=True):
    """Code of one's own, by its file or package; what stands below `with` is filled in when the job is read."""

    group: ClassVar[str]
    """Of the entry points of packages."""

    file: str | None = Field(
        None, description="path of the Python file that has the function or class of that name"
    )
    package: str | None = Field(
        None, description="instead of a file: an installed package with an entry point of that name"
    )
    with_: tuple[str, ...] = Field(
        (), alias="with", description="paths of files that it imports, each as a module of its name"
    )
    packed: str | None = Field(None, description="the sources, which travel with the job")
    entry: str | None = Field(None, description="what the package's entry point names")
    version: str | None = Field(None, description="of the package")

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.file is None) == (self.package is None) or (self.package and self.with_):
            raise ValueError("code of your own has a `file`, perhaps with `with`, or a `package`")
        return self

    @property
    def source(self) -> str:
        """Its file, or its package, for people."""
        return self.file or f"the package {self.package}"

    def imported(self, name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The function or class, and the settings that are filled in, with bare names for the files.

        Raises:
            PlugInError, OSError: a file cannot be read or imported.
        """
        from tamis.pipeline.plugins import packages, sources
        from tamis.pipeline.signals.plugin_files import read_sources

        if self.package is not None:
            entry = packages.find(self.package, name, self.group)
            settings = {"entry": entry.value, "version": entry.version}
            return packages.load(self.package, entry), settings
        packed = self.packed or sources.pack(read_sources(self.file or "", self.with_))
        file, *others = sources.unpack(packed)
        known: dict[str, Any] = {"file": file, "with_": tuple(others), "packed": packed}
        return sources.load(packed, name), known

    @property
    def code(self) -> dict[str, Any]:
        """Whose code it is, as JSON: by the hash of the sources, or the version of the package."""
        from tamis.pipeline.plugins import sources

        if self.packed is not None:
            return {"plugin": sources.digest(self.packed)}
        return {"package": [self.package, self.entry, self.version]}


class Plugin(Code, defer_build=True):
    """A function of one's own."""

    group: ClassVar[str] = "tamis.signals"

    takes_others: ClassVar[bool] = False
    """Whether its parameters may have names that are none of COLUMNS, such as those of signals."""

    type: str | None = Field(None, description="Arrow type of the values, by the annotation")
    reads: tuple[str, ...] = Field((), description="columns that it reads, by its parameters")
    by_row: bool = Field(False, description="whether it takes one sample, and not columns")

    def settled(self, name: str) -> Plugin:
        """The same with all that is filled in; the files are not needed any more.

        Raises:
            PlugInError, OSError: a file cannot be read or imported.
        """
        from tamis.pipeline.signals import plugin

        if self.type is not None and (self.packed is not None or self.entry is not None):
            where = f"{self.source}: {name}"
            plugin.check_form(self.type, self.reads, where, others=self.takes_others)
            return self
        function, known = self.imported(name)
        form = self.form(function, f"{known.get('file', self.package)}: {name}")
        known |= {"type": form.type, "reads": form.reads, "by_row": form.by_row}
        return self.model_copy(update=known)

    @classmethod
    def form(cls, function: Callable[..., Any], where: str) -> Form:
        """The function's signature.

        Raises:
            PlugInError: the signature says too little, or too much.
        """
        from tamis.pipeline.signals import plugin

        return plugin.form_of(function, where, others=cls.takes_others)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that its values depend on beside the samples, as JSON."""
        return {**self.code, "reads": list(self.reads), "by_row": self.by_row}


class Signals(StepModel):
    """Compute columns about each sample; drops nothing.

    In short, without other settings: `signals: [words, min_side]`.
    """

    kind = "signals"
    listed = "names"
    names: Annotated[tuple[str, ...], WithJsonSchema(_NAMES)] = Field(
        min_length=1,
        examples=[["words", "characters", "min_side", "aspect_ratio"]],
        description="built-in signals, columns of the input, or functions of your own: `{file: my.py, name: vowels}`",
    )
    heads: dict[str, str] = Field(
        {},
        description="signal -> path of a head over a stored embedding, which an `embed` step before this one "
        "makes; none by default",
    )
    prompts: tuple[str, ...] = Field(
        (),
        examples=[["subject"]],
        description="signals of `heads` that are a text: the name of the prompt that is nearest to the picture; none "
        "by default",
    )
    reads: dict[str, tuple[str, ...]] = Field(
        {},
        description="signal -> the signals that its head takes in the place of an embedding, in its order, made by "
        "steps before this one; none by default",
    )
    lists: dict[str, str] = Field(
        {},
        description="signal -> path of a list of words, one entry a line, whose entries are counted in the caption; "
        "none by default",
    )
    classifiers: dict[str, str] = Field(
        {},
        description="signal -> path of a fastText model (.bin or .ftz) of captions; the signal is its likeliest label; "
        "none by default",
    )
    labels: dict[str, str] = Field(
        {},
        description="signal of `classifiers` -> the label whose probability the signal is; none by default",
    )
    plugins: dict[str, Plugin] = Field(
        {}, description="signal -> its function, in full; none by default"
    )
    digests: dict[str, str] = Field(
        {},
        description="path of a head, list or classifier -> its sha256, filled in when the job is read; none by default",
    )
    embedding: str | None = Field(
        None,
        examples=["embed"],
        description="which embedding the heads read, where there are two; by default the only one",
    )

    @model_validator(mode="before")
    @classmethod
    def _functions_by_name(cls, values: Any) -> Any:
        """Maps among ``names`` go to ``plugins``."""
        names = values.get("names") if isinstance(values, dict) else None
        if not isinstance(names, list | tuple) or not any(isinstance(one, dict) for one in names):
            return values
        plugins = dict(values.get("plugins") or {})
        plain: list[Any] = []
        for entry in names:
            if not isinstance(entry, dict):
                plain.append(entry)
                continue
            name = entry.get("name")
            if not isinstance(name, str) or not {"file", "package"} & set(entry):
                raise ValueError(
                    f"a function of your own is written {{file: my.py, name: vowels}}, not {entry}"
                )
            plugins[name] = {key: entry[key] for key in entry if key != "name"}
            plain.append(name)
        return {**values, "names": plain, "plugins": plugins}

    @model_validator(mode="after")
    def _heads_read(self) -> Self:
        for name, read in self.reads.items():
            if name not in self.heads or not read or name in read:
                raise ValueError(
                    f"reads: `{name}`: is a signal of `heads`, with the signals that its head takes: "
                    "{good: [words, clip_similarity]}"
                )
        return self

    @model_validator(mode="after")
    def _prompts_have_heads(self) -> Self:
        for name in self.prompts:
            if name not in self.heads or name in self.reads:
                raise ValueError(
                    f"prompts: `{name}`: is a signal of `heads` over an embedding: heads: {{{name}: heads/{name}.npz}}"
                )
        return self

    @model_validator(mode="after")
    def _labels_sought(self) -> Self:
        for name in self.labels:
            if name not in self.classifiers:
                raise ValueError(
                    f"labels: `{name}`: is a signal of `classifiers`: classifiers: {{{name}: models/{name}.ftz}}"
                )
        return self

    @property
    def over_vectors(self) -> bool:
        """True if a head reads an embedding."""
        return bool(self.heads.keys() - self.reads.keys())

    def idle(self) -> Mapping[str, str]:
        """The embedding that no head reads."""
        return {} if self.over_vectors else {"embedding": "`heads` over one"}

    @classmethod
    def purpose(cls) -> str:
        """The docstring, and the names of all built-in signals."""
        from tamis.pipeline.signals.registry import SIGNALS

        return f"{super().purpose()} Built in: {', '.join(SIGNALS)}."

    @property
    def computes(self) -> tuple[str, ...]:
        """The names of all signals."""
        return self.names

    @property
    def head_files(self) -> Mapping[str, str]:
        """Signal -> path of its head."""
        return self.heads

    @property
    def named_prompts(self) -> tuple[str, ...]:
        """Signals that are the name of a prompt."""
        return self.prompts

    @property
    def word_lists(self) -> Mapping[str, str]:
        """Signal -> path of its list."""
        return self.lists

    @property
    def classifier_files(self) -> Mapping[str, str]:
        """Signal -> path of its classifier."""
        return self.classifiers

    @property
    def sought_labels(self) -> Mapping[str, str]:
        """Signal -> the label whose probability it is."""
        return self.labels

    @property
    def plugged(self) -> Mapping[str, Plugin]:
        """Signal -> its function."""
        return self.plugins

    def settled(self, steps: Sequence[Any]) -> Self:
        """The settings with the sources of all functions, what their signatures say, and the files' digests."""
        del steps
        found: dict[str, Any] = {}
        if self.plugins:
            found["plugins"] = {name: own.settled(name) for name, own in self.plugins.items()}
        if self.files:
            found["digests"] = self._digests()
        return self.model_copy(update=found) if found else self

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of all heads, lists and classifiers."""
        named = (self.heads, self.lists, self.classifiers)
        return tuple(dict.fromkeys(path for paths in named for path in paths.values()))

    def _digests(self) -> dict[str, str]:
        """Path -> sha256; where a run is read, and where the file is gone, as the job has it already."""
        from tamis.pipeline.plugins.sources import is_reading
        from tamis.pipeline.steps.signals.files import sha256_of

        known = {path: self.digests[path] for path in self.files if path in self.digests}
        read = [path for path in self.files if not (is_reading() and path in known)]
        there = {path: sha256_of(path, path in known) for path in read}
        return {**known, **{path: sha256 for path, sha256 in there.items() if sha256 is not None}}

    def shown(self) -> dict[str, Any]:
        """The settings without sources and digests."""
        shown = super().shown()
        shown.pop("digests", None)
        for plugin in shown.get("plugins", {}).values():
            plugin.pop("packed", None)
        return shown

    def with_paths(self, change: Change) -> Self:
        """The settings with the paths of heads, lists and classifiers changed; functions have none any more."""
        new = {path: change(path) for path in self.files}
        changed = {
            "heads": {name: new[path] for name, path in self.heads.items()},
            "lists": {name: new[path] for name, path in self.lists.items()},
            "classifiers": {name: new[path] for name, path in self.classifiers.items()},
            "digests": {new[path]: sha256 for path, sha256 in self.digests.items() if path in new},
        }
        return self.model_copy(update={key: paths for key, paths in changed.items() if paths})
