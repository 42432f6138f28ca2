"""Questions whose answers docs/selection.md gives, asked of a small pool of the showcase's icons by `tamis evaluate`.

    PYTHONPATH=. python -m tests.benchmarks.make_icons ICONS --most 96000
    PYTHONPATH=. python -m tests.benchmarks.showcase ICONS SHOW
    PYTHONPATH=. python -m tests.benchmarks.small_pool SHOW OUT QUESTION [QUESTION ...]

Of SHOW only ``in`` is read: the pairs, and what the scorer made of them. The pool is 12,000 of them, drawn by a hash of
their keys, of which each seed takes 80%; the test pairs are the showcase's. A question is one of

    which        which of semantic duplicates to keep
    which-noisy  the same, with 40% of the pool's captions exchanged
    distil       whether a teacher of all pairs helps more the less is kept
    students     whether students with a bag of words order the choices alike
    pixels       whether one does that looks at pictures, seven times as slow
    fails        shuffled captions, a pool of duplicates, and a scorer that is noise
    trusted      whether filter networks that 500 trusted pairs make choose better than lots, beside the scorer

``OUT/CASE`` is a run, ``OUT/CASE.json`` its last evaluation; tables are printed. The same
showcase and options give the same tables.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tamis.pipeline.audit.reading.paired import paired
from tamis.schemas.evaluation import (
    DEDUPLICATED,
    HEADLINE,
    METRICS,
    RANDOM,
    Evaluation,
    Point,
    undistilled,
)
from tests.benchmarks.make_icons import HELD
from tests.benchmarks.showcase import NOISE, STUDENT, tamis

JOB = """\
name: small-pool
input:
  - path: {folder}/pairs.parquet
    columns: {{uid: uid}}
    image_embeddings: {folder}/image.npy
    text_embeddings: {folder}/text.npy
    embeddings:
      outlines: {{image: {folder}/outlines.npy}}
output: {output}
steps:
  - signals: [set, noise, checked]
  - embed: {{encoder: precomputed}}
  - embed: {{name: outlines, encoder: "precomputed:outlines", as: outlines}}
"""

CHOICES = """\
  - semantic_duplicates: {{embedding: embed, clusters: auto, epsilon: {epsilon}, which_to_keep: {which}}}
  - score: {{name: similarity, signal: {score}, keep: 0.5}}
  - density: {{embedding: embed, clusters: auto, keep: 0.4}}
"""

KEPT = {
    "hard": "hard",
    "easy": "easy",
    "random": "random",
    "similarity": "{signal: clip_similarity}",
}
"""Name of an order of semantic duplicates -> how a job has it."""

WIDE = 0.3
"""Epsilon at which more than a third of the pool are duplicates of others, so that the choice among them matters."""

HEADS = "  - signals: {{name: heads, embedding: embed, names: [{names}], heads: {{{paths}}}}}\n"
BY_HEAD = "  - score: {{name: {name}, signal: {name}, keep: 0.5}}\n"

TRUSTED = 500
"""Pairs that a person can look through in an hour."""

COPIES = 10
"""Times that each pair stands in the pool of duplicates."""

CHAIN = "score:0.5>density"

SHOWN = (HEADLINE, "recall_at_5")
"""Metrics of the tables."""

Ints = npt.NDArray[np.int64]


class Case(NamedTuple):
    """A pool, and the job that is done over it.

    ``pool``: its name. ``rows``: of the showcase's pairs, those held out last; ``captions``: the row whose caption each
    of them has. ``heads``: files by which pairs are scored. ``kept``: all pairs are, and nothing chooses.
    """

    name: str
    pool: str
    rows: Ints
    captions: Ints
    which: str = "random"
    epsilon: float = 0.03
    score: str = "clip_similarity"
    heads: tuple[Path, ...] = ()
    kept: bool = False


class Line(NamedTuple):
    """A line of a table."""

    case: str
    point: Point
    base: Point | None  # of the same pools: what it is compared with


class Showcase:
    """What the showcase has prepared, and a small pool of it."""

    def __init__(self, folder: Path, pairs: int) -> None:
        self._table = pq.read_table(folder / "pairs.parquet")
        self._vectors = {
            name: np.load(folder / f"{name}.npy") for name in ("image", "text", "outlines")
        }
        self._key = np.array(self._table["key"].to_pylist())
        self.set = np.array(self._table["set"].to_pylist())
        held = np.isin(self.set, HELD)
        self.held, self._others = np.flatnonzero(held), np.flatnonzero(~held)
        self.pool = self.drawn(self._others, pairs, "pool")

    def drawn(self, rows: Ints, count: int, purpose: str) -> Ints:
        """So many of some rows, by a hash of their keys, which is also their order."""
        hashes = [xxhash.xxh3_64_intdigest(f"{purpose} {self._key[row]}".encode()) for row in rows]
        return rows[np.argsort(np.array(hashes, np.uint64), kind="stable")[:count]]

    def set_aside(self) -> tuple[Showcase, Ints]:
        """The same with a pool without one set in eight, by a hash of its name, and trusted pairs of these sets."""
        sets = self.set[self._others]
        aside = np.array([xxhash.xxh3_64_intdigest(f"aside {of}".encode()) % 8 == 0 for of in sets])
        other = copy(self)
        other.pool = self.drawn(self._others[~aside], len(self.pool), "pool")
        return other, self.drawn(self._others[aside], TRUSTED, "trusted")

    def exchanged(self, share: float) -> Ints:
        """The row whose caption each row of the pool has, where a share of them pass captions on in a ring."""
        ring = self.drawn(self.pool, round(share * len(self.pool)), "exchanged")
        given = dict(zip(ring.tolist(), np.roll(ring, 1).tolist(), strict=True))
        return np.array([given.get(row, row) for row in self.pool.tolist()])

    def case(self, name: str, share: float = 0.0) -> Case:
        """A case over the pool, with a share of its captions exchanged, and over what is held out."""
        rows = np.concatenate([self.pool, self.held])
        told = np.concatenate([self.exchanged(share), self.held])
        return Case(name, f"exchanged-{share:g}", rows, told)

    def write(self, folder: Path, case: Case) -> None:
        """The input of a case. Pairs have the same uid in every case; a copy has one of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        before: dict[int, int] = {}
        uid = []
        for row in case.rows.tolist():
            before[row] = before.get(row, 0) + 1
            uid.append(xxhash.xxh3_128_hexdigest(f"{self._key[row]} {before[row]}".encode()))
        taken = self._table.take(pa.array(case.rows))
        captions = self._table["text"].take(pa.array(case.captions))
        table = taken.set_column(taken.column_names.index("text"), "text", captions)
        noise = [xxhash.xxh3_64_intdigest(f"noise {name}".encode()) / 2**64 for name in uid]
        right = case.rows[(case.rows == case.captions) & ~np.isin(case.rows, self.held)]
        checked = np.isin(case.rows, self.drawn(right, TRUSTED, "checked")).astype(np.int8)
        for column, values in (("uid", uid), ("noise", noise), ("checked", checked)):
            table = table.append_column(column, pa.array(values))
        pq.write_table(table, folder / "pairs.parquet", row_group_size=5_000)
        for name, vectors in self._vectors.items():
            rows = case.captions if name == "text" else case.rows
            np.save(folder / f"{name}.npy", vectors[rows])


def by_heads(files: Sequence[Path]) -> str:
    """The steps that score all pairs by some heads, each named as its file; only then any falls."""
    if not files:
        return ""
    paths = ", ".join(f"{file.stem}: {file}" for file in files)
    scores = [BY_HEAD.format(name=file.stem) for file in files]
    return HEADS.format(names=", ".join(file.stem for file in files), paths=paths) + "".join(scores)


class Ask:
    """Runs and evaluations of cases under a folder."""

    def __init__(self, show: Showcase, out: Path, seeds: int, steps: int) -> None:
        self.show, self._out = show, out
        held = ",".join(sorted(set(show.set[show.held].tolist())))
        self._asked = ["--holdout-by", f"set={held}", "--seeds", str(seeds), "--steps", str(steps)]

    def run(self, case: Case) -> Path:
        """The finished run of a case; what another case over the same pool has done is taken over."""
        folder, output = self._out / f"{case.pool}-in", self._out / case.name
        if not folder.exists():  # written again it would be another input, and not resume
            self.show.write(folder, case)
        other = self._done(folder)
        if not output.exists() and other is not None:
            shutil.copytree(other, output)
        job = self._out / f"{case.name}.yaml"
        how = {"epsilon": case.epsilon, "which": KEPT[case.which], "score": case.score}
        choices = "" if case.kept else CHOICES.format(**how)
        job.write_text(JOB.format(folder=folder, output=output) + by_heads(case.heads) + choices)
        tamis("run", str(job), "--local", "--progress", "none")
        return output

    def _done(self, folder: Path) -> Path | None:
        """A finished run over some input; None if there is none."""
        for job in sorted(self._out.glob("*.yaml")):
            run = job.with_suffix("")
            if f"path: {folder}/" in job.read_text() and (run / "manifest.json").exists():
                return run
        return None

    def evaluate(
        self, run: Path, budgets: str, against: str, *options: str, student: str = STUDENT
    ) -> Evaluation:
        """What `tamis evaluate` says of a run."""
        asked = [*self._asked, "--student", student, "--budgets", budgets, "--against", against]
        tamis("evaluate", str(run), *asked, *options)
        told = (run / "evaluation.json").read_bytes()
        run.with_suffix(".json").write_bytes(told)
        return Evaluation.model_validate_json(told)


def kept(ask: Ask, pool: str, share: float) -> Iterator[Line]:
    """A random choice of what is left, whichever of the duplicates stay; beside those that stay by lot."""
    lots: dict[float, Point] = {}
    for order in ("random", "hard", "easy", "similarity"):
        case = ask.show.case(f"{pool}-{order}", share)._replace(which=order, epsilon=WIDE)
        found = ask.evaluate(ask.run(case), "0.4", DEDUPLICATED)
        for point in found.line(DEDUPLICATED):
            yield Line(case.name, point, lots.get(point.budget))
            if order == "random":
                lots[point.budget] = point


def which(ask: Ask) -> Iterator[Line]:
    """Which of semantic duplicates stay, where captions are as they are."""
    yield from kept(ask, "clean", 0.0)


def which_noisy(ask: Ask) -> Iterator[Line]:
    """The same where a share of the captions is exchanged."""
    yield from kept(ask, "noisy", NOISE)


def distil(ask: Ask) -> Iterator[Line]:
    """Every choice with and without a teacher of all pairs, beside itself without."""
    run = ask.run(ask.show.case("plain"))
    found = ask.evaluate(run, "0.05,0.3", "full", "--distil", "0.5,0.9")
    for point in found.points:
        yield Line("plain", point, found.point(undistilled(point.selector)[0], point.budget))


def students(ask: Ask) -> Iterator[Line]:
    """The same choices, trained by students with a bag of words, over outlines and over the scorer's own embedding."""
    for student in (STUDENT, "words"):
        yield from trained(ask, student)


def pixels(ask: Ask) -> Iterator[Line]:
    """The same choices, trained by a student that looks at the pictures."""
    yield from trained(ask, "pixels")


def trained(ask: Ask, student: str) -> Iterator[Line]:
    """Choices of a fifth, beside a random one of the deduplicated."""
    run = ask.run(ask.show.case("plain"))
    found = ask.evaluate(run, "0.2", f"deduplicated,score,{CHAIN},full", student=student)
    yield from _beside(student, found, DEDUPLICATED)


def fails(ask: Ask) -> Iterator[Line]:
    """Shuffled captions, a pool in which each pair stands ten times, and a scorer that is noise."""
    show = ask.show
    shuffled = show.case("shuffled", 1.0)
    some = np.repeat(show.pool[: len(show.pool) // COPIES], COPIES)
    copied = np.concatenate([some, show.held])
    copies = Case("copies", "copies", copied, copied)
    noise = show.case("noise")._replace(score="noise")
    # Below a share of 1 / COPIES: of what a seed does not draw some stood for their copies.
    few = f"{0.4 / COPIES:.3g},{0.8 / COPIES:.3g}"
    for case, budgets in ((shuffled, "0.2"), (copies, few), (noise, "0.2")):
        found = ask.evaluate(ask.run(case), budgets, f"deduplicated,score,{CHAIN},full")
        yield from _beside(case.name, found, RANDOM)


def trusted(ask: Ask) -> Iterator[Line]:
    """Heads of 500 trusted pairs: of other sets, and of the pool itself where captions are exchanged.

    They are fitted beside the pool alone: what is held out would be told apart from the trusted as well.
    """
    show, rows = ask.show.set_aside()
    good = ask.run(Case("good", "good", rows, rows, kept=True))
    for name, share in (("clean", 0.0), ("noisy", NOISE)):
        told = show.exchanged(share)
        pool = ask.run(Case(f"{name}-pool", f"{name}-pool", show.pool, told, kept=True))
        sources = {"other": ["--trusted", str(good)]}
        # Of captions that are all right, those that were looked at are no better than others.
        if share:
            sources["own"] = ["--where", "checked = 1", "--by", "set"]
        heads = []
        for (source, trust), kind in product(sources.items(), ("pair", "classifier")):
            heads.append(pool.parent / f"{name}-heads" / f"{kind}-{source}.safetensors")
            tamis("fit", "head", str(pool), *trust, "--kind", kind, "--as", str(heads[-1]))
        case = show.case(f"{name}-scored", share)
        scored = ask.run(case._replace(pool=case.name, heads=tuple(heads)))
        against = ["random", "similarity", *(path.stem for path in heads)]
        yield from _beside(name, ask.evaluate(scored, "0.1,0.3", ",".join(against)), RANDOM)


QUESTIONS: dict[str, Callable[[Ask], Iterator[Line]]] = {
    "which": which,
    "which-noisy": which_noisy,
    "distil": distil,
    "students": students,
    "pixels": pixels,
    "fails": fails,
    "trusted": trusted,
}


def _beside(case: str, found: Evaluation, base: str) -> Iterator[Line]:
    """All points beside the selector ``base`` at their budget; all pairs beside the most that it has."""
    most = found.line(base)[-1]
    for point in found.points:
        yield Line(case, point, found.point(base, point.budget) or most)


def table(lines: Sequence[Line]) -> Iterator[str]:
    """Lines of Markdown: each metric, its spread, its difference to what stands beside it, and the paired test's p."""
    named = "".join(f" {METRICS[metric]} | difference | p |" for metric in SHOWN)
    yield f"| case | chosen | share |{named}"
    yield "|---" * (3 + 3 * len(SHOWN)) + "|"
    for case, point, base in lines:
        told = "".join(_cells(point, base, metric) for metric in SHOWN)
        yield f"| {case} | {point.selector} | {100 * point.budget:.3g}% |{told}"


def _cells(point: Point, base: Point | None, metric: str) -> str:
    found, difference, p = point.figures[metric], "", ""
    if base is not None and base is not point:
        other = base.figures[metric]
        difference = f"{found.mean - other.mean:+.4f}"
        chance = paired(found.values, other.values)
        p = "" if chance is None else "< .001" if chance < 0.001 else f"{chance:.3f}"
    return f" {found.mean:.4f} ± {found.spread:.4f} | {difference} | {p} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("show", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("questions", nargs="+", choices=sorted(QUESTIONS), metavar="QUESTION")
    parser.add_argument("--pairs", type=int, default=12_000, help="of the pool")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    ask = Ask(Showcase(args.show / "in", args.pairs), args.out, args.seeds, args.steps)
    for name in args.questions:
        lines = list(QUESTIONS[name](ask))
        print("\n".join([f"\n{name}:", *table(lines)]), flush=True)


if __name__ == "__main__":
    main()
