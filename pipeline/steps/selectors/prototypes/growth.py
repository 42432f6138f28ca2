"""How the tasks of `prototypes` grow: as clustering does."""

from __future__ import annotations

from tamis.pipeline.steps.concepts.growth import ClusteredGrowth
from tamis.pipeline.steps.selectors.prototypes.config import Prototypes as Config


class Prototypes(ClusteredGrowth[Config]):
    """No answer of its own."""
