"""A chain over captions beside datatrove's and text-dedup's: read, drop the short, drop near-duplicates, write.

The input is parquet of uid and caption: drawn captions, a tenth of them earlier ones with one word changed, and those
of the clip art. Each program reads the same files and writes what it keeps, with single words as shingles and as many
bands and rows (14 x 8). Ours compares each pair that the bands propose, and calls it duplicates at a true Jaccard of
.8 or more; theirs take a common band for one. So with the seconds it is printed how many each keeps, of how many
planted pairs at .8 or more it keeps at most one, and how many drawn captions it drops that are like no other. Ours
also writes a ledger, checksums and a manifest.

Theirs come as ``make peers`` installs them. datatrove is run twice: with its own words for English (spaCy's), and with
words split at white space. Two sizes: the last rows say what more captions cost in processor time, in which no
start is.

    PYTHONPATH=. python tests/benchmarks/peers_captions.py --captions 20000 200000 --rounds 3
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks import _peers
from tests.benchmarks._peers import Command, Spent
from tests.benchmarks._steps import CLIPART, EXAMPLES, members
from tests.benchmarks._table import Row, show
from tests.benchmarks.near_scale import WORDS, vocabulary

FILES = 4
COPIES = 0.1
LEAST_WORDS = 3
BANDS, ROWS = 14, 8
ALIKE = 0.8

JOB = """
name: captions
input: [{{path: '{given}/*.parquet'}}]
output: {made}
steps:
  - signals: [words]
  - rules: {{words: {{min: {words}}}}}
  - near_duplicates: {{agree: none, jaccard: {alike}, unit: word, ngram: 1, permutations: {permutations}, recall: 0.9}}
  - write: {{format: parquet}}
"""

PEERS = {
    "datatrove": ("datatrove", "_peer_datatrove.py", ()),
    "datatrove, words at blanks": ("datatrove", "_peer_datatrove.py", ("--whitespace",)),
    "text-dedup": ("text-dedup", "_peer_text_dedup.py", ()),
}
"""Name in the table: environment, script, its flags."""


@dataclass
class Captions:
    """Texts, and for each the row that it was copied from, or its own."""

    texts: list[str] = field(default_factory=list)
    origin: list[int] = field(default_factory=list)
    drawn: int = 0
    """The first so many are drawn, the others real."""

    def add(self, text: str, origin: int | None = None) -> None:
        """One more."""
        self.origin.append(len(self.texts) if origin is None else origin)
        self.texts.append(text)

    def pairs(self) -> list[tuple[int, int]]:
        """(original, copy) of those that a perfect search finds: long enough, and alike enough."""
        return [
            (first, second)
            for second, first in enumerate(self.origin)
            if first != second and self.alike(first, second) >= ALIKE
            if min(len(self.texts[row].split()) for row in (first, second)) >= LEAST_WORDS
        ]

    def alike(self, one: int, two: int) -> float:
        """Jaccard similarity of the sets of words."""
        left, right = (set(self.texts[row].lower().split()) for row in (one, two))
        return len(left & right) / max(1, len(left | right))


def drawn(count: int) -> Captions:
    """``count`` captions as frequent words make them, a tenth of them copies with one word changed."""
    generator = np.random.default_rng(7)
    words = vocabulary(generator)
    weight = 1.0 / (np.arange(len(words)) + 2.7)
    sizes = np.clip(generator.poisson(WORDS, count), 1, 40)
    picks = words[generator.choice(len(words), int(sizes.sum()), p=weight / weight.sum())]
    copied = generator.random(count) < COPIES
    made = Captions()
    for row, pick in enumerate(np.split(picks, np.cumsum(sizes)[:-1])):
        if not (copied[row] and row):
            made.add(" ".join(pick))
            continue
        origin = int(generator.integers(row))
        text = made.texts[origin].split(" ")
        text[int(generator.integers(len(text)))] = str(pick[0])
        made.add(" ".join(text), origin)
    made.drawn = count
    return made


def with_clipart(made: Captions) -> Captions:
    """And the clip art's."""
    folder = CLIPART if CLIPART.is_dir() else EXAMPLES
    for name, data in members(sorted(folder.glob("*.tar"))):
        if name.endswith(".txt"):
            made.add(data.decode())
    return made


def write(folder: Path, made: Captions) -> None:
    """FILES files of parquet."""
    folder.mkdir(parents=True)
    uids = [f"{row:032x}" for row in range(len(made.texts))]
    table = pa.table({"uid": uids, "text": made.texts})
    size = -(-len(made.texts) // FILES)
    for number in range(FILES):
        pq.write_table(table.slice(number * size, size), folder / f"{number:05d}.parquet")


def kept(folder: Path) -> set[int]:
    """The rows whose uids stand in the tables there."""
    uids: list[str] = []
    for path in sorted(folder.glob("*.parquet")):
        name = "uid" if "uid" in pq.read_schema(path).names else "id"  # datatrove's name for it
        uids += pq.read_table(path, columns=[name])[name].to_pylist()
    assert len(uids) == len(set(uids)), f"{folder} has a uid twice"
    return {int(uid, 16) for uid in uids}


@dataclass(frozen=True)
class Found:
    """What a program's result is worth."""

    kept: int
    recall: float
    alone: int
    """Drawn captions that were dropped though they are long enough, were never copied, and are no copies."""


def judged(made: Captions, rows: set[int]) -> Found:
    """By what was planted."""
    pairs = made.pairs()
    caught = sum(not (first in rows and second in rows) for first, second in pairs)
    family = {
        row for copy, first in enumerate(made.origin) if first != copy for row in (first, copy)
    }
    # Of few frequent words two are drawn alike by chance: those are duplicates too.
    words = [frozenset(text.lower().split()) for text in made.texts]
    times = Counter(words)
    alone = sum(
        row not in rows
        and row not in family
        and times[words[row]] == 1
        and len(made.texts[row].split()) >= LEAST_WORDS
        for row in range(made.drawn)
    )
    return Found(len(rows), caught / max(1, len(pairs)), alone)


def our_job(given: Path, made: Path) -> str:
    """As YAML."""
    sizes = {"words": LEAST_WORDS, "alike": ALIKE, "permutations": BANDS * ROWS}
    return JOB.format(given=given, made=made, **sizes)


def commands(
    folder: Path, workers: int, asked: Sequence[str]
) -> tuple[Mapping[str, Command], list[str]]:
    """Ours and those asked for that are installed; and the names of the others."""
    given = folder / "in"

    def tamis(number: int) -> Spent:
        return _peers.ours(folder / "job.yaml", our_job(given, folder / f"ours-{number}"))

    def peer(name: str, python: Path, script: str, flags: Sequence[str], number: int) -> Spent:
        sizes = ("--words", LEAST_WORDS, "--bands", BANDS, "--rows", ROWS, "--workers", workers)
        return _peers.theirs(python, script, given, folder / f"{name}-{number}", *sizes, *flags)

    works: dict[str, Command] = {"ours": tamis}
    absent = []
    for name in asked:
        environment, script, flags = PEERS[name]
        python = _peers.interpreter(environment)
        if python is None:
            absent.append(name)
        else:
            works[name] = partial(peer, name, python, script, flags)
    return works, absent


def results(folder: Path, name: str) -> set[int]:
    """What a program kept in its first round."""
    made = folder / f"{name}-0"
    return kept(
        next(f for f in (made / "shards", made / "kept", made) if list(f.glob("*.parquet")))
    )


def measure(
    folder: Path, works: Mapping[str, Command], made: Captions, rounds: int
) -> tuple[list[Row], dict[str, list[Spent]]]:
    """All in turn; prints what each has found."""
    write(folder / "in", made)
    spent = _peers.take_turns(works, rounds)
    what, rows = f"chain, {len(made.texts):,} captions", []
    for program in works:
        found = judged(made, results(folder, program))
        print(
            f"{program}: {found.kept:,} kept, {found.recall:.1%} of the planted pairs found, "
            f"{found.alone:,} dropped that were never copied"
        )
        if program != "ours":
            pair = (spent["ours"], spent[program])
            rows += _peers.beside(what, named(program), len(made.texts), "captions", *pair)
    return rows, spent


def named(program: str) -> str:
    """With its version."""
    environment = PEERS[program][0]
    return program.replace(environment, _peers.release(environment))


def main() -> None:
    """A table of speeds, and a line of findings for each program."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--captions", type=int, nargs=2, default=[20_000, 200_000])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    asked = options.parse_args()
    rows: list[Row] = []
    rounds: list[dict[str, list[Spent]]] = []
    with tempfile.TemporaryDirectory(prefix="tamis-peers-") as name:
        for count in asked.captions:
            folder = Path(name, str(count))
            works, absent = commands(folder, len(os.sched_getaffinity(0)), asked.peers)
            if len(works) > 1:  # ours alone is measured elsewhere
                found, spent = measure(folder, works, with_clipart(drawn(count)), asked.rounds)
                rows += found
                rounds.append(spent)
    small, large = asked.captions
    for program in [one for one in works if one != "ours" and rounds]:
        grown = ([spent[one] for spent in rounds] for one in ("ours", program))
        rows.append(_peers.growth("chain", named(program), large - small, "captions", *grown))
    rows += [_peers.missing("chain of captions", program) for program in absent]
    show("a chain over captions, whole commands", rows)


if __name__ == "__main__":
    main()
