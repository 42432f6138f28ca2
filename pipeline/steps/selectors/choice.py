"""A selector's maths on arrays in memory: what `tamis evaluate` asks each selector for a subset.

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
    """n samples to choose among."""

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
    """Other settings that can be compared: ``which`` of the name ``KIND-which`` -> what they change."""

    refuses: ClassVar[str] = ""
    """Samples that it takes at no count, as a message names them: see ``most``."""

    config: Config
    seed: int

    @classmethod
    @abstractmethod
    def default(cls, similarity: str) -> Config:
        """The settings where the run has no such step; ``similarity``: the signal of its embedding."""

    @property
    def signal(self) -> str | None:
        """The signal that it reads; samples without a value are not chosen."""
        return None

    def most(self, samples: int) -> int:
        """The largest count of ``samples`` that it can be asked for."""
        return samples

    @abstractmethod
    def select(self, pool: Pool, count: int) -> Mask:
        """So many samples of the pool, bool (n,).

        Raises:
            InfeasibleError: the settings do not allow the count.
        """
