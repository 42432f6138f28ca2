"""Searching a large bucket so that its components are those of all its pairs, without comparing all pairs.

Two members that are connected already need no edge. First come stars: centres, elected in the order of their rank,
each compared with all who are not connected to it, which joins most of a bucket of one kind at one comparison a
member. Then the exact bounds of `prefixes` say who of different components is worth comparing: the rarest shingles
first, a block at a time, so that whom one block joins the next need not compare.

The pairs depend on the bucket's members and their ranks alone. Where nearly all are alike, or a template leaves more
than a ninth of its shingles open and few fill it alike, comparisons grow about as the bucket. Between these they
grow faster, up to its square: `limits.comparisons` ends such a search.
"""

from collections.abc import Iterator
from math import isqrt

import numpy as np

from tamis.pipeline.algorithms.arrays import BoolArray, Int64Array
from tamis.pipeline.algorithms.grouping.buckets import Limits, Match, Matches
from tamis.pipeline.algorithms.grouping.components import connected
from tamis.pipeline.algorithms.near_captions.agreement import Agreement, Sieve
from tamis.pipeline.algorithms.near_captions.shingles import Shingles
from tamis.pipeline.algorithms.near_captions.thinning import decisive
from tamis.pipeline.algorithms.near_captions.who_meets import Meeting

# Of centres that are compared at once, at most.
_MOST_CENTRES = 256
# Centres that are compared with everybody before it is asked whether bounds are the cheaper way.
_CENTRES = 31
# More edges a member of a large bucket than these are thinned, and so many at once.
_KEPT, _EDGES = 16, 32
# Pairs that a sieve looks at in the time of one comparison, about.
_SIFTED = 64
# Pairs of the first blocks: whom they join, the next need not compare.
_FIRST_BLOCK = 1 << 12


def connect(
    members: Int64Array,
    match: Match,
    limits: Limits,
    caption: Int64Array,
    sets: Shingles,
    threshold: float,
) -> tuple[Matches, int]:
    """Find edges of one bucket whose components are those of all its edges.

    Args:
        members: int64 (m,), rows by rank.
        match: the comparison; of two rows of one caption it holds never.
        limits: see there.
        caption: int64 (n,), each row's place in `sets`.
        sets: shingle sets, as `text.shingle_sets` gives them.
        threshold: least Jaccard similarity of an edge.

    Returns:
        The pairs, unordered and possibly repeated, and how many members were left with some that they
        have not met because `limits.comparisons` was reached.
    """
    search = _Search(members, match, limits)
    meeting: Meeting | None = None
    look = _CENTRES * len(members)
    for _ in search.stars():
        if search.compared >= look:
            look = 2 * search.compared
            meeting = meeting or Meeting.of_prefixes(sets, caption[members], threshold)
            if meeting.cost(search.label) <= search.compared:
                break
    if search.one:
        return search.found, 0
    meeting = meeting or Meeting.of_prefixes(sets, caption[members], threshold)
    # Of one caption and its like under many pictures, say, the bounds rule out nobody.
    if meeting.cost(search.label) >= len(members) ** 2 // 2:
        meeting = Meeting.of_all(len(members))
    left = search.meet(meeting)
    return search.found, left


def connect_pictures(
    members: Int64Array, match: Match, limits: Limits, agreement: Agreement
) -> tuple[Matches, int]:
    """Find edges of one caption whose components are those of all pairs of pictures that agree.

    Args:
        members: int64 (m,), rows by rank.
        match: the comparison.
        limits: see there. Of pairs that a sieve looks at 64 count as one; comparisons among the tables are those
            of one key, or of so many keys together as hold a million pictures.
        agreement: its sieve, or its tables where it has none or `limits.comparisons` end it, say who is worth
            comparing.

    Returns:
        As `connect`.
    """
    search = _Search(members, match, limits)
    for _ in search.stars():
        if search.compared >= _CENTRES * len(members):
            break
    if search.one:
        return search.found, 0
    if agreement.sieve and not search.sift(agreement.sieve):
        return search.found, 0
    most = 0
    for keys in agreement.tables(members):
        left = 0
        for part in Meeting.of_keys(keys).parts():
            search.compared = 0
            left += search.meet(part)  # nobody stands in two parts of one table
        most = max(most, left)
    return search.found, most


class _Search:
    """What is known of one bucket: the edges, and the component of each member by its first one."""

    def __init__(self, members: Int64Array, match: Match, limits: Limits) -> None:
        self._members, self._match, self._limits = members, match, limits
        self._place = np.arange(len(members))
        self._by_row = np.argsort(members)
        self._found: list[Matches] = []
        self._held = 0
        self.label = self._place
        self.compared = 0

    @property
    def found(self) -> Matches:
        """Edges; those that decide, where they are many."""
        self._thin()
        return self._found[0]

    @property
    def one(self) -> bool:
        """Whether all members are connected."""
        return not self.label.any()

    def stars(self) -> Iterator[None]:
        """Compare more and more centres with everybody, until no member stands alone: a turn at a time.

        Their number doubles from 1 to 256 a turn, so that a bucket of one kind costs one comparison a
        member, and a bucket of many kinds few turns.
        """
        elected = np.zeros(len(self._members), dtype=bool)
        turn = 1
        while self.compared < self._limits.comparisons:
            alone = np.bincount(self.label, minlength=len(elected))[self.label] == 1
            centres = np.flatnonzero(alone & ~elected)[:turn]
            if not len(centres):
                return
            elected[centres] = True
            width = max(1, self._limits.pairs // len(centres))
            for start in range(0, len(elected), width):
                part = self._place[start : start + width]
                a, b = (x.ravel() for x in np.meshgrid(centres, part, indexing="ij"))
                # Earlier centres have met these; of two of one turn the earlier meets the later.
                self.compare(a, b, (b > a) | ~elected[b])
            self.compared += len(centres) * len(elected)
            turn = min(2 * turn, _MOST_CENTRES)
            yield

    def _thin(self) -> None:
        found = Matches.concat(self._found)
        a, b = self._places(found)
        kept = decisive(a, b, found.value[:, 0], self._place, _KEPT)
        self._found = [Matches(found.a[kept], found.b[kept], found.value[kept])]

    def _places(self, found: Matches) -> tuple[Int64Array, Int64Array]:
        a, b = (
            self._by_row[np.searchsorted(self._members, rows, sorter=self._by_row)]
            for rows in (found.a, found.b)
        )
        return a, b

    def compare(self, a: Int64Array, b: Int64Array, chosen: BoolArray) -> bool:
        """Compare the chosen ones of pairs of places where they are not connected; whether any are joined."""
        chosen &= self.label[a] != self.label[b]
        matches = self._match(self._members[a[chosen]], self._members[b[chosen]])
        if not len(matches.a):
            return False
        self._found.append(matches)
        self._held += len(matches.a)
        if self._held > max(_EDGES * len(self._members), self._limits.pairs):
            self._thin()
            self._held = 0
        a, b = (self.label[places] for places in self._places(matches))
        labels, place = np.unique(np.concatenate([a, b]), return_inverse=True)
        joined = self._place.copy()
        left, right = np.split(place, 2)
        joined[labels] = labels[connected(left, right, len(labels))]
        self.label = joined[self.label]
        return True

    def meet(self, meeting: Meeting) -> int:
        """Compare who meets and is not connected; how many are left at the limit."""
        block = _FIRST_BLOCK
        for part in meeting.parts():
            rest = part
            while len(rest.at):
                lists = rest.lists(self.label)
                start, looked = 0, 0
                while start < len(lists.asking):
                    if self.compared >= self._limits.comparisons:
                        return len(np.unique(lists.at[lists.asking[start:]]))
                    stop, count = lists.block(start, block)
                    self.compared += count
                    looked += count
                    x, y = lists.pairs(start, stop)
                    start = stop
                    if self.compare(x, y, np.ones(len(x), dtype=bool)):
                        # Sorted again, those who are joined by now are not even listed.
                        if looked >= 4 * len(lists.at):
                            break
                    else:
                        block = min(2 * block, self._limits.pairs)
                rest = lists.rest(start)
        return 0

    def sift(self, sieve: Sieve) -> int:
        """Compare whom a sieve lets through and who is not connected; how many are left at the limit.

        Tiles depend on ranks and components alone, and all that passes is compared: how the sieve rounds
        changes nothing.
        """
        # Tiles of one component are passed over: the largest comes first, each stands together.
        sizes = np.bincount(self.label, minlength=len(self.label))
        order = np.lexsort((self.label, -sizes[self.label]))
        height = max(1, isqrt(self._limits.pairs) // 4)
        width = max(1, self._limits.pairs // height)
        for left in range(0, len(order), width):
            columns = order[left : left + width]
            passes = None
            for top in range(0, left + len(columns), height):
                rows = order[top : min(top + height, left + len(columns))]
                here, there = self.label[rows], self.label[columns]
                if (here == there[0]).all() and (there == there[0]).all():
                    continue
                if self.compared >= self._limits.comparisons:
                    return len(order) - left
                self.compared += -(-len(rows) * len(columns) // _SIFTED)
                passes = passes or sieve(self._members[columns])
                possible = passes(self._members[rows]) & (here[:, None] != there)
                a, b = np.nonzero(possible)
                self.compare(rows[a], columns[b], a + top < b + left)
        return 0
