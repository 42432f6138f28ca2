"""Balance over concepts: captions are searched for listed concepts, counted, and drawn by how frequent these are.

Captions are searched twice, to count and to decide: what is stored is a row a concept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import balance
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import hash_file
from tamis.pipeline.steps.selectors.balance.config import FREQUENT, WITHOUT_CONCEPT
from tamis.pipeline.steps.selectors.balance.config import Balance as Config
from tamis.pipeline.steps.shared.other_runs import check_sha256, unchanged
from tamis.pipeline.steps.shared.text_lines import lines
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase, listed
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo, location
from tamis.schemas.errors import InputError
from tamis.schemas.job import Job

MOST_CONCEPTS = 1_000_000
"""Concepts of a list, at most: a worker holds them as a tree, in about half a kilobyte each."""

DRAW = "draw"
"""The rule in the ledger of a sample that the lot did not fall for."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Arguments of ``read_concepts``."""

    sha256: str  # of the list
    shown: str = location()  # the list's name in messages
    path: str = location()


@dataclass(frozen=True)
class Most:
    """Arguments of ``weigh``."""

    most: int  # captions of one concept that are all kept


@dataclass(frozen=True)
class Lots:
    """Arguments of ``decide``."""

    seed: int
    unmatched: Literal["drop", "keep"]


class Balance(Step):
    """``concepts``, the list; ``counted`` and ``chances``, its captions and what is kept of them; ``verdict``."""

    passing = ("counted",)

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.seed = config, config.name, job.seed

    def check(self, inputs: Sequence[InputFile]) -> None:
        """The list is there and begins with a concept.

        Raises:
            InputError: it is missing, empty, no UTF-8, or has a line without a word.
        """
        del inputs
        storage.stat(self.config.path)
        listing = self._listing("")
        if next(concepts_of(listing), None) is None:
            raise _empty(listing)

    def _listing(self, sha256: str) -> Listing:
        shown = f"{self.name}: the list `{storage.redact(self.config.path)}`"
        return Listing(sha256=sha256, shown=shown, path=storage.absolute(self.config.path))

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        name = self.name
        listing = self._listing(hash_file(storage.absolute(self.config.path))[1].hex())
        yield listed("concepts", read_concepts, [Task.whole("list", {}, listing)])
        known = context.done(name, "concepts").whole()
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        counting: EachPart[None] = EachPart(
            context.parts, inputs, shared={"concepts": known}, together=True
        )
        yield Phase("counted", count, counting)
        every = {"concepts": known, "counted": context.done(name, "counted").whole()}
        most = Most(self.config.most)
        yield listed("chances", weigh, [Task.whole("list", every, most)])
        chances = {"concepts": context.done(name, "chances").whole()}
        lots = Lots(self.seed, self.config.unmatched)
        deciding = EachPart(context.parts, inputs, lots, shared=chances, together=True)
        yield Phase(VERDICT, decide, deciding)


def concepts_of(listing: Listing) -> Iterator[str]:
    """Each line's words, with a blank between.

    Raises:
        InputError: a line has none.
    """
    for number, line in lines(listing.path, listing.shown):
        words = balance.words(line)
        if not words:
            raise InputError(
                f"{listing.shown}: line {number:,}: `{line[:80]}` has no word: leave it out"
            )
        yield " ".join(words)


def _empty(listing: Listing) -> InputError:
    return InputError(f"{listing.shown} has no concepts: leave the step out, or give the list")


def read_concepts(io: TaskIo[Listing]) -> Iterator[pa.Table]:
    """(concept), each once and in order.

    Raises:
        StateError: it is not the list that was there when the run began.
        InputError: as ``concepts_of``; or it is empty, or longer than a worker holds.
    """
    found: set[str] = set()
    with unchanged([io.args.path], io.args.shown):
        check_sha256(io.args.path, io.args.sha256, io.args.shown)
        for concept in concepts_of(io.args):
            found.add(concept)
            if len(found) > MOST_CONCEPTS:
                raise InputError(
                    f"{io.args.shown} has more than {MOST_CONCEPTS:,} concepts, which is what a worker holds: give "
                    "fewer"
                )
    if not found:
        raise _empty(io.args)
    yield pa.table({"concept": pa.array(sorted(found), pa.string())})


def _captions(io: TaskIo[Any], columns: Sequence[str] = ()) -> pa.Table:
    """The captions, and other columns of ingest, of one part's living samples."""
    return io.read("ingest", ["text", *columns]).take(pa.array(io.living_rows()))


def count(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(concept, count): of the concepts that a bundle's captions have, by number, how many have it."""
    concepts = io.read("concepts")["concept"].to_pylist()
    search, total = balance.Concepts(concepts), np.zeros(len(concepts), np.int64)
    for part in io.parts():
        for text in _captions(part)["text"].to_pylist():
            total[search.found(text)] += 1
    present = np.flatnonzero(total)
    yield pa.table({"concept": present, "count": total[present]})


def weigh(io: TaskIo[Most]) -> Iterator[pa.Table]:
    """(concept, count, chance), a row a concept, in the order of ``concepts``."""
    concepts = io.read("concepts")["concept"]
    total = np.zeros(len(concepts), np.int64)
    for bundle in io.stream("counted"):
        total[bundle["concept"].to_numpy()] += bundle["count"].to_numpy()
    chance = balance.chances(total, io.args.most)
    yield pa.table({"concept": concepts, "count": total, "chance": chance})


def decide(io: TaskIo[Lots]) -> Iterator[pa.Table]:
    """The samples of a bundle that their lots did not fall for, and those without a concept; a table a part."""
    table = io.read("concepts")
    concepts = table["concept"].to_pylist()
    chance = table["chance"].to_pylist()
    search = balance.Concepts(concepts)
    for part in io.parts():
        yield _decided(part, search, concepts, chance)


def _decided(
    io: TaskIo[Lots],
    search: balance.Concepts,
    concepts: Sequence[str],
    chance: Sequence[float],
) -> pa.Table:
    captions = _captions(io, ["uid"])
    found = [search.found(text) for text in captions["text"].to_pylist()]
    bound = np.array([balance.together([chance[n] for n in own]) for own in found], np.float64)
    uid = uid_words(captions["uid"])
    draw = order.uniform(order.hashed(uid, io.args.seed, "balance"))
    matched = np.array([bool(own) for own in found], bool)
    out = matched & (draw >= bound)
    if io.args.unmatched == "drop":
        out |= ~matched
    rows = np.flatnonzero(out)
    # The concept that spoke most for the sample; of equal ones the first.
    rarest = [max(found[row], key=lambda n: (chance[n], -n), default=None) for row in rows]
    lost = matched[rows]
    return drops(
        io,
        io.living_rows()[rows],
        np.where(lost, FREQUENT, WITHOUT_CONCEPT),
        rule=[DRAW if one else None for one in lost],
        value=pa.array(draw[rows], mask=~lost),
        bound=pa.array(bound[rows], mask=~lost),
        message=[None if one is None else concepts[one] for one in rarest],
    )
