"""The settings of `choose`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tamis.pipeline.steps.selectors.config import LEFT_OUT, Chooser
from tamis.pipeline.steps.shared.config import MISSING, NO_VALUE
from tamis.pipeline.steps.signals.config import Plugin
from tamis.schemas.step import BY_RULE, Reasons

if TYPE_CHECKING:
    from tamis.pipeline.signals.plugin import Form

VECTORS: Mapping[str, str] = {"picture": "image", "caption": "text"}
"""A parameter's name -> the column of the embedding that it gets."""


class Worth(Plugin, defer_build=True):
    """The function, with its name."""

    group: ClassVar[str] = "tamis.selectors"
    takes_others: ClassVar[bool] = True
    name: str = Field(description="of the function")

    @classmethod
    def form(cls, function: Callable[..., Any], where: str) -> Form:
        """The function's signature; a parameter may have the name of a signal, or of VECTORS.

        Raises:
            PlugInError: the signature says too little, or it returns no numbers.
        """
        from tamis.schemas.errors import PlugInError

        found = super().form(function, where)
        if "pixels" in found.reads:
            raise PlugInError(
                f"{where}: a selector opens no pictures: make a signal of the function, and choose by it"
            )
        if found.type == "string":
            raise PlugInError(f"{where}: returns text, and the largest number is kept first")
        return found


class Choose(Chooser):
    """Keep the samples to which a function of your own gives the highest values."""

    kind = "choose"
    reasons: ClassVar[Reasons] = {**LEFT_OUT, **MISSING}
    phrases: ClassVar[Mapping[str, str]] = {NO_VALUE: BY_RULE}
    by: Worth = Field(
        examples=[{"file": "my.py", "name": "worth"}],
        description="the function: `{file: my.py, name: worth}`, as of a signal of your own; its parameters may be "
        "signals too, and `picture` and `caption`, the stored vectors",
    )
    embedding: str | None = Field(
        None,
        examples=["embed"],
        description="which embedding has the vectors, where there are two; by default the only one",
    )

    @property
    def scores(self) -> bool:
        """True: only what reaches the step has a value."""
        return True

    def settled(self, steps: Sequence[Any]) -> Self:
        """The settings with the sources of the function, and what its signature says."""
        del steps
        return self.model_copy(update={"by": self.by.settled(self.by.name)})

    def shown(self) -> dict[str, Any]:
        """The settings without sources."""
        shown = super().shown()
        shown["by"].pop("packed", None)
        return shown
