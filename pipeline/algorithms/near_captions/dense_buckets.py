"""Search of a large bucket that finds the components of all its pairs without comparing all pairs.

Two members that are connected already need no edge. The search begins with stars: centres, taken in the order of their
rank, are compared with all members that are not connected to them, which joins most of a bucket of like members at one
comparison a member. Then the exact bounds of `prefix_filter` leave few pairs of different components to compare: those
with the rarest shared shingles first, a block at a time, so that pairs joined by one block are left out of the next.

The edges depend on the bucket's members and their ranks alone. Comparisons grow about as the bucket where nearly all
members are alike, or where a template leaves more than a ninth of the shingles open and few members fill it alike.
Between these they grow faster, up to the square of the bucket: `limits.comparisons` ends such a search.
"""

from collections.abc import Iterator
from math import isqrt

import numpy as np

from tamis.pipeline.algorithms.arrays import BoolArray, Int64Array
from tamis.pipeline.algorithms.grouping.buckets import Limits, Match, Matches
from tamis.pipeline.algorithms.grouping.components import connected
from tamis.pipeline.algorithms.near_captions.agreement import Agreement, Sieve
from tamis.pipeline.algorithms.near_captions.posting_lists import Postings
from tamis.pipeline.algorithms.near_captions.shingles import Shingles
from tamis.pipeline.algorithms.near_captions.thinning import decisive

# Most centres compared at once.
_MOST_CENTRES = 256
# Centres compared with all members before the search estimates whether bounds are cheaper.
_CENTRES = 31
# Edges of a member: those that thinning keeps, and the number from which edges are thinned during the search.
_KEPT_EDGES, _MOST_EDGES = 16, 32
# Pairs that a sieve filters in about the time of one comparison.
_SIEVE_PAIRS = 64
# Pairs of the first block: small, so that the components it joins spare comparisons in the next ones.
_FIRST_BLOCK = 1 << 12


def connect(
    members: Int64Array,
    match: Match,
    limits: Limits,
    caption: Int64Array,
    sets: Shingles,
    threshold: float,
) -> tuple[Matches, int]:
    """Find edges of one bucket with the components of all its edges.

    Args:
        members: int64 (m,), rows by rank.
        match: the comparison; two rows with the same caption never match.
        limits: see `Limits`.
        caption: int64 (n,), each row's caption, a row of `sets`.
        sets: shingle sets, by `shingles.shingle_sets`.
        threshold: least Jaccard similarity of an edge.

    Returns:
        The edges, unordered and possibly repeated; and the number of members whose comparisons were not finished at
        `limits.comparisons`.
    """
    search = _Search(members, match, limits)
    postings: Postings | None = None
    next_estimate = _CENTRES * len(members)
    for _ in search.stars():
        if search.compared >= next_estimate:
            next_estimate = 2 * search.compared
            postings = postings or Postings.of_prefixes(sets, caption[members], threshold)
            if postings.cost(search.label) <= search.compared:
                break
    if search.is_connected:
        return search.edges, 0
    postings = postings or Postings.of_prefixes(sets, caption[members], threshold)
    # The bounds rule out no pair where, say, a few like captions have many pictures each.
    if postings.cost(search.label) >= len(members) ** 2 // 2:
        postings = Postings.of_all(len(members))
    left = search.compare_postings(postings)
    return search.edges, left


def connect_pictures(
    members: Int64Array, match: Match, limits: Limits, agreement: Agreement
) -> tuple[Matches, int]:
    """Find edges of one caption with the components of all pairs of pictures that agree.

    Args:
        members: int64 (m,), rows by rank.
        match: the comparison.
        limits: see `Limits`; 64 pairs in a sieve count as one comparison, and each part of a table, about a million
            pictures, has its own `limits.comparisons`.
        agreement: agreement of the pictures; its tables are used where it has no sieve, or where `limits.comparisons`
            ends the sieve.

    Returns:
        As `connect`.
    """
    search = _Search(members, match, limits)
    for _ in search.stars():
        if search.compared >= _CENTRES * len(members):
            break
    if search.is_connected:
        return search.edges, 0
    if agreement.sieve and not search.apply_sieve(agreement.sieve):
        return search.edges, 0
    most = 0
    for keys in agreement.tables(members):
        left = 0
        for part in Postings.of_keys(keys).parts():
            search.compared = 0
            left += search.compare_postings(part)  # no member is in two parts of one table
        most = max(most, left)
    return search.edges, most


class _Search:
    """State of a bucket's search: edges, comparisons, and the first position of each member's component."""

    def __init__(self, members: Int64Array, match: Match, limits: Limits) -> None:
        self._members, self._match, self._limits = members, match, limits
        self._positions = np.arange(len(members))
        self._by_row = np.argsort(members)
        self._matches: list[Matches] = []
        self._unthinned = 0
        self.label = self._positions
        self.compared = 0

    @property
    def edges(self) -> Matches:
        """Edges, thinned where they are many."""
        self._thin()
        return self._matches[0]

    @property
    def is_connected(self) -> bool:
        """True if all members are connected."""
        return not self.label.any()

    def stars(self) -> Iterator[None]:
        """Compare centres with all members until each member has been a centre or has an edge; yield after each turn.

        The number of centres doubles each turn, from 1 to 256: a bucket of like members costs one comparison a member,
        and a bucket of many kinds takes few turns.
        """
        is_centre = np.zeros(len(self._members), dtype=bool)
        turn = 1
        while self.compared < self._limits.comparisons:
            alone = np.bincount(self.label, minlength=len(is_centre))[self.label] == 1
            centres = np.flatnonzero(alone & ~is_centre)[:turn]
            if not len(centres):
                return
            is_centre[centres] = True
            width = max(1, self._limits.pairs // len(centres))
            for start in range(0, len(is_centre), width):
                part = self._positions[start : start + width]
                a, b = (x.ravel() for x in np.meshgrid(centres, part, indexing="ij"))
                # Centres of earlier turns were compared with these; of two in one turn, the earlier with the later.
                self.compare(a, b, (b > a) | ~is_centre[b])
            self.compared += len(centres) * len(is_centre)
            turn = min(2 * turn, _MOST_CENTRES)
            yield

    def _thin(self) -> None:
        edges = Matches.concat(self._matches)
        a, b = self._positions_of(edges)
        kept = decisive(a, b, edges.value[:, 0], self._positions, _KEPT_EDGES)
        self._matches = [Matches(edges.a[kept], edges.b[kept], edges.value[kept])]

    def _positions_of(self, matches: Matches) -> tuple[Int64Array, Int64Array]:
        a, b = (
            self._by_row[np.searchsorted(self._members, rows, sorter=self._by_row)]
            for rows in (matches.a, matches.b)
        )
        return a, b

    def compare(self, a: Int64Array, b: Int64Array, chosen: BoolArray) -> bool:
        """Compare the chosen pairs of positions that are not connected; return whether any match."""
        chosen &= self.label[a] != self.label[b]
        matches = self._match(self._members[a[chosen]], self._members[b[chosen]])
        if not len(matches.a):
            return False
        self._matches.append(matches)
        self._unthinned += len(matches.a)
        if self._unthinned > max(_MOST_EDGES * len(self._members), self._limits.pairs):
            self._thin()
            self._unthinned = 0
        a, b = (self.label[positions] for positions in self._positions_of(matches))
        labels, inverse = np.unique(np.concatenate([a, b]), return_inverse=True)
        new_label = self._positions.copy()
        left, right = np.split(inverse, 2)
        new_label[labels] = labels[connected(left, right, len(labels))]
        self.label = new_label[self.label]
        return True

    def compare_postings(self, postings: Postings) -> int:
        """Compare the pairs of an inverted index that are not connected; count the members left at the limit."""
        block = _FIRST_BLOCK
        for part in postings.parts():
            rest = part
            while len(rest.member):
                lists = rest.lists(self.label)
                start, since_sorted = 0, 0
                while start < len(lists.probes):
                    if self.compared >= self._limits.comparisons:
                        return len(np.unique(lists.member[lists.probes[start:]]))
                    stop, count = lists.block(start, block)
                    self.compared += count
                    since_sorted += count
                    a, b = lists.pairs(start, stop)
                    start = stop
                    if self.compare(a, b, np.ones(len(a), dtype=bool)):
                        # Sorting again drops the pairs that are connected by now.
                        if since_sorted >= 4 * len(lists.member):
                            break
                    else:
                        block = min(2 * block, self._limits.pairs)
                rest = lists.rest(start)
        return 0

    def apply_sieve(self, sieve: Sieve) -> int:
        """Compare the pairs that pass a sieve and are not connected; count the members left at the limit.

        Tiles depend on ranks and components alone, and all pairs that pass are compared: the sieve's rounding has no
        effect.
        """
        # Components lie together, the largest first, so that tiles inside one component can be skipped.
        sizes = np.bincount(self.label, minlength=len(self.label))
        order = np.lexsort((self.label, -sizes[self.label]))
        height = max(1, isqrt(self._limits.pairs) // 4)
        width = max(1, self._limits.pairs // height)
        for left in range(0, len(order), width):
            columns = order[left : left + width]
            passes = None
            for top in range(0, left + len(columns), height):
                rows = order[top : min(top + height, left + len(columns))]
                row_label, column_label = self.label[rows], self.label[columns]
                if (row_label == column_label[0]).all() and (column_label == column_label[0]).all():
                    continue
                if self.compared >= self._limits.comparisons:
                    return len(order) - left
                self.compared += -(-len(rows) * len(columns) // _SIEVE_PAIRS)
                passes = passes or sieve(self._members[columns])
                possible = passes(self._members[rows]) & (row_label[:, None] != column_label)
                a, b = np.nonzero(possible)
                self.compare(rows[a], columns[b], a + top < b + left)
        return 0
