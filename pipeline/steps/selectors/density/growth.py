"""How the tasks of `density` grow: as clustering does."""

from __future__ import annotations

from tamis.pipeline.steps.concepts.growth import ClusteredGrowth
from tamis.pipeline.steps.selectors.density.config import Density as Config


class Density(ClusteredGrowth[Config]):
    """No answer of its own."""
