"""A selector's maths on arrays in memory, by which `tamis evaluate` gets a subset from each.

A selector takes part in the comparison if its folder has a ``choice.py``, with a class of the step's name that
derives from ``StepChoice``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tamis.pipeline.steps.selectors.config import Chooser

Config = TypeVar("Config", bound=Chooser)
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pool:
    """The n samples that a selector chooses from."""

    uid: npt.NDArray[np.uint64]  # (n, 2)
    cluster: npt.NDArray[np.int32]  # (n,) the concept of each
    distance: npt.NDArray[np.float32]  # (n,) to the concept's centroid
    signal: npt.NDArray[
        np.float64
    ]  # (n,) finite values of the signal that the selector reads; zeros if none
    centroids: npt.NDArray[np.float32]  # (concepts, d)


class InfeasibleError(Exception):
    """The selector's bounds do not allow the count."""


@dataclass(frozen=True)
class StepChoice(ABC, Generic[Config]):
    """A selector as a function from a pool to a subset."""

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Variants that can be compared: ``which`` in the name ``KIND-which`` -> the settings that differ."""

    refuses: ClassVar[str] = ""
    """Name in messages of the samples that it never takes: see ``most``."""

    config: Config
    seed: int

    @classmethod
    @abstractmethod
    def default(cls, similarity: str) -> Config | None:
        """The settings for a run without such a step; ``similarity``: the signal of its embedding.

        None if only a run that has the step can have the choice.
        """

    @property
    def signal(self) -> str | None:
        """The signal that it reads, None for none; samples without a value are not chosen."""
        return None

    def most(self, samples: int) -> int:
        """The largest count that it can choose from ``samples``."""
        return samples

    @abstractmethod
    def select(self, pool: Pool, count: int) -> Mask:
        """(n,) True for the ``count`` chosen samples of the pool.

        Raises:
            InfeasibleError: the settings do not allow the count.
        """
