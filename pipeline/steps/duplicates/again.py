"""Another bound over a finished run's stored edges: the pairs within it are the edges of a run with that bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.grouping import components
from tamis.pipeline.steps.duplicates import leading
from tamis.pipeline.steps.duplicates.config import ByEdges, Cut
from tamis.pipeline.steps.duplicates.edges import ENDS, Ints, Mask, both_ends
from tamis.pipeline.steps.shared.again import Again
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import uid_words

COLUMNS = [*(f"{name}_{end}" for name in ENDS for end in "ab"), "same"]


def decide(again: Again, config: ByEdges) -> Iterator[Counter[str]]:
    """Counts of dropped samples by reason, once; the edges are among the samples that reach the step."""
    cuts = config.cuts(again.job)
    columns = [*COLUMNS, *(cut.column for cut in cuts)]
    found = [
        _within(part_files.read(again.root, piece, columns), config, cuts)
        for phase in config.edge_phases
        for piece in again.tables(config.name, phase)
    ]
    edges = pa.concat_tables(found).combine_chunks()
    gone = _fallen_of_chains(edges) if config.group == "chain" else _fallen(edges)
    (reason,) = config.reasons
    yield again.drop(config.name, reason, again.places(gone))


def _within(edges: pa.Table, config: ByEdges, cuts: Sequence[Cut]) -> pa.Table:
    """The edges that meet the bounds of ``config``. Nothing tells two apart that are the same."""
    meets: Mask = np.ones(edges.num_rows, dtype=bool)
    for cut in cuts:
        value, bound = edges[cut.column].to_numpy(), getattr(config, cut.setting)
        meets &= value >= bound if cut.larger else value <= bound
    return edges.select(COLUMNS).filter(pa.array(meets | edges["same"].to_numpy()))


def _fallen(edges: pa.Table) -> Ints:
    """The sids of those that fall for a leader."""
    return leading.followers(edges, np.zeros(edges.num_rows)).sid


def _fallen_of_chains(edges: pa.Table) -> Ints:
    """The sids of all but one of each component."""
    sid, first, position = np.unique(both_ends(edges, "sid").to_numpy(), True, True)
    a, b = np.split(position, 2)
    label = components.connected(a, b, len(sid))
    uids, preference = (both_ends(edges, name).take(pa.array(first)) for name in ENDS[1:])
    survivor = components.survivors(label, uid_words(uids), preference.to_numpy())
    dropped: Ints = sid[survivor != np.arange(len(sid))]
    return dropped
