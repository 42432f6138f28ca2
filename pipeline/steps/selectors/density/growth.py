"""Growth of the tasks of `density`."""

from __future__ import annotations

from tamis.pipeline.steps.concepts.growth import ClusteredGrowth
from tamis.pipeline.steps.selectors.density.config import Density as Config


class Density(ClusteredGrowth[Config]):
    """The growth of clustering alone."""
