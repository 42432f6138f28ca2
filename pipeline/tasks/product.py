"""Products of steps for later ones: values by row, each known by its kind and name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Kinds of products. Signals and embeddings are named in the job; places and verdicts by their step."""

    SIGNAL = "signal"
    EMBEDDING = "embedding"
    PLACE = "place"  # in a concept: cluster, rank, distance
    VERDICT = "verdict"


@dataclass(frozen=True, order=True)
class Product:
    """Values by row that a step makes."""

    kind: Kind
    name: str

    @property
    def role(self) -> str:
        """The role of its tables among a task's inputs, and its name in the files of a run: ``signal:words``."""
        return f"{self.kind}:{self.name}"

    @classmethod
    def parse(cls, role: str) -> Product:
        """The product of a role.

        Raises:
            ValueError: it is the role of no product.
        """
        kind, _, name = role.partition(":")
        return cls(Kind(kind), name)


def signal(name: str) -> Product:
    """A signal."""
    return Product(Kind.SIGNAL, name)


def embedding(name: str) -> Product:
    """An embedding."""
    return Product(Kind.EMBEDDING, name)


def place(step: str) -> Product:
    """The places that a step gives."""
    return Product(Kind.PLACE, step)


def verdict(step: str) -> Product:
    """The drops of a step."""
    return Product(Kind.VERDICT, step)


def names_of(kind: Kind, roles: Iterable[str]) -> list[str]:
    """The names of the products of one kind among some roles, in their order."""
    mark = f"{kind}:"
    return [role.removeprefix(mark) for role in roles if role.startswith(mark)]
