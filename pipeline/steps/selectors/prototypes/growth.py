"""Growth of the tasks of `prototypes`."""

from __future__ import annotations

from tamis.pipeline.steps.concepts.growth import ClusteredGrowth
from tamis.pipeline.steps.selectors.prototypes.config import Prototypes as Config


class Prototypes(ClusteredGrowth[Config]):
    """The growth of clustering alone."""
