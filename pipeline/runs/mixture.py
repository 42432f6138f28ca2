"""The tiers of a result: how much there is of each, and in what mixture to draw them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from tamis.schemas.manifest import Output, TierCount

MOST = 4.0
"""Of how often a sample is drawn for one of the largest tier: up to four passes say nearly as much as new samples."""


def mixture(tiers: Iterable[str | None], outputs: Iterable[Output]) -> list[TierCount]:
    """A count for each tier that has samples, in their order, counted in the files that were written.

    A tier's samples are suggested to be drawn sqrt(largest / own) times as often as those of the largest, up to MOST:
    half way, on a scale of logarithms, between drawing all samples alike and all tiers alike.
    """
    each = list(outputs)
    found = []
    for tier in tiers:
        pattern = rf"{'' if tier is None else re.escape(tier) + '-'}\d{{5,}}"
        of_tier = [o.rows for o in each if re.fullmatch(rf"shards/{pattern}\.parquet", o.path)]
        if of_tier:
            found.append((tier, sum(of_tier), len(of_tier)))
    largest = max((samples for _, samples, _ in found), default=0)
    factor = {tier: round(min(MOST, math.sqrt(largest / samples)), 4) for tier, samples, _ in found}
    drawn = sum(samples * factor[tier] for tier, samples, _ in found)
    return [
        TierCount(
            tier=tier,
            samples=samples,
            shards=shards,
            factor=factor[tier],
            weight=round(samples * factor[tier] / drawn, 6),
        )
        for tier, samples, shards in found
    ]
