"""Whether a tenth that is chosen for a target trains better for it than a random tenth, on real pairs: docs/target.md.

    PYTHONPATH=. python -m tests.benchmarks.make_icons ICONS --most 16000
    PYTHONPATH=. python -m tests.benchmarks.showcase ICONS SHOW
    PYTHONPATH=. python -m tests.benchmarks.for_target ICONS SHOW OUT [--clipart '../shared/data/openclipart/*.tar']

Two pools: clip art, under the encoder `demo`; and icons under the scorer that the showcase trains, whose vectors lie in
SHOW/in. Targets are sets under ICONS/held, of which neither has a pair. Of each set so many pairs are the target, drawn
by a hash of their keys, others the test. ``OUT/POOL`` is a run that measures every pair of the pool against each target
in five ways and drops none; `tamis evaluate` then trains on the best tenth by each, beside random pairs, similarity and
density. Its tables are printed.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.columns import centroid_rows
from tests.benchmarks.make_icons import HELD
from tests.benchmarks.showcase import tamis

JOB = """\
name: {name}
input: [{entry}]
output: {output}
steps:
  - embed: {{encoder: {encoder}}}
"""

CONCEPTS = """\
  - density: {clusters: auto, keep: 1.0}
"""

TARGET = """\
  - target: {{name: nearest-{set}, path: {known}, keep: 1.0}}
  - target: {{name: moment-{set}, path: {known}, measure: moment, keep: 1.0}}
  - target: {{name: concepts-{set}, path: {known}, measure: concepts, centroids: {centroids}, keep: 1.0}}
  - target: {{name: caption-{set}, path: {known}, side: text, keep: 1.0}}
  - target: {{name: influence-{set}, path: {known}, measure: influence, keep: 1.0}}
"""

MEASURES = ("nearest", "moment", "concepts", "caption", "influence")
OTHERS = ("random", "score", "density", "full")


def first(keys: Sequence[str], most: int) -> list[str]:
    """The ``most`` keys with the smallest hashes, in the order of these."""
    return sorted(keys, key=lambda key: xxhash.xxh3_64_intdigest(key.encode()))[:most]


class Pictures:
    """Pairs of tars, which the encoder `demo` embeds."""

    encoder = "demo"
    duplicates = "  - exact_duplicates: {on: image}\n"

    def __init__(self, clipart: str, icons: Path) -> None:
        self.pool, self._held = f"{{path: '{clipart}'}}", icons / "held"

    def drawn(self, name: str, folder: Path, known: int, tested: int) -> tuple[str, str]:
        """Entries of so many pairs of a set, and of so many others."""
        members: dict[str, list[tuple[str, bytes]]] = {}
        with tarfile.open(self._held / f"{name}.tar") as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None, member.name
                found = members.setdefault(member.name.partition(".")[0], [])
                found.append((member.name, file.read()))
        keys = first([*members], known + tested)
        entries = []
        for lot, some in (("known", keys[:known]), ("tested", keys[known:])):
            path = folder / f"{lot}.tar"
            entries.append(f"{{path: {path}}}")
            if (
                path.exists()
            ):  # written again it would be another input: its run could not be resumed
                continue
            with tarfile.open(path, "w") as tar:
                for file_name, data in (pair for key in sorted(some) for pair in members[key]):
                    info = tarfile.TarInfo(file_name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        return entries[0], entries[1]


class Vectors:
    """Pairs with the vectors that the showcase's scorer made of them."""

    encoder = "precomputed"
    duplicates = "  - semantic_duplicates: {clusters: auto, epsilon: 0.03}\n"

    def __init__(self, show: Path, folder: Path) -> None:
        self._table = pq.read_table(show / "pairs.parquet")
        self._sides = {side: np.load(show / f"{side}.npy") for side in ("image", "text")}
        self._of = np.array(self._table["set"].to_pylist())
        self.pool = self._entry(folder / "pool", np.flatnonzero(~np.isin(self._of, HELD)))

    def drawn(self, name: str, folder: Path, known: int, tested: int) -> tuple[str, str]:
        """Entries of so many pairs of a set, and of so many others."""
        rows = np.flatnonzero(self._of == name)
        keys = self._table["key"].take(pa.array(rows)).to_pylist()
        row_of = dict(zip(keys, rows.tolist(), strict=True))
        chosen = np.array([row_of[key] for key in first(keys, known + tested)])
        lots = {"known": np.sort(chosen[:known]), "tested": np.sort(chosen[known:])}
        entries = [self._entry(folder / f"{lot}-in", some) for lot, some in lots.items()]
        return entries[0], entries[1]

    def _entry(self, folder: Path, rows: np.ndarray) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(self._table.take(pa.array(rows)), folder / "pairs.parquet")
        for side, vectors in self._sides.items():
            np.save(folder / f"{side}.npy", vectors[rows])
        sides = ", ".join(f"{side}_embeddings: {folder}/{side}.npy" for side in self._sides)
        return f"{{path: {folder}/pairs.parquet, {sides}}}"


def run(output: Path, entry: str, encoder: str, steps: str = "") -> Path:
    """Do a job over an entry of input, whose output is ``output``."""
    job = output.with_suffix(".yaml")
    text = JOB.format(name=output.name, entry=entry, output=output, encoder=encoder)
    job.write_text(text + steps)
    tamis("run", str(job), "--progress", "none")
    return output


def centroids_of(pool: Path) -> Path:
    """The centroids of a run's concepts, as a file of vectors."""
    table = part_files.read_file(str(pool), paths.table("density", "train", "centroids"))
    np.save(pool.with_suffix(".npy"), centroid_rows(table))
    return pool.with_suffix(".npy")


def compared(name: str) -> Iterator[str]:
    """What is compared for the target ``name``."""
    yield from (f"{measure}-{name}" for measure in MEASURES)
    yield from OTHERS


def compare(pairs: Pictures | Vectors, pool: Path, args: argparse.Namespace) -> None:
    """Do the pool's job, then again with the targets, whose concepts are the first job's; and compare."""
    tests, steps = {}, pairs.duplicates + CONCEPTS
    run(pool, pairs.pool, pairs.encoder, steps)
    centroids = centroids_of(pool)
    for name in args.sets.split(","):
        folder = pool.parent / f"{pool.name}-{name}"
        folder.mkdir(exist_ok=True)
        known, tested = pairs.drawn(name, folder, args.known, args.tested)
        target = run(folder / "known", known, pairs.encoder)
        tests[name] = run(folder / "tested", tested, pairs.encoder)
        steps += TARGET.format(set=name, known=target, centroids=centroids)
    run(pool, pairs.pool, pairs.encoder, steps)
    for name, tested_run in tests.items():
        asked = ["--holdout", str(tested_run), "--against", ",".join(compared(name))]
        asked += ["--budgets", args.budgets, "--seeds", args.seeds, "--steps", args.steps]
        tamis("evaluate", str(pool), *asked)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("icons", type=Path)
    parser.add_argument("show", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clipart", default="../shared/data/openclipart/*.tar")
    parser.add_argument("--sets", default="twemoji,healthicons", help="targets")
    parser.add_argument("--known", type=int, default=340, help="pairs of a target")
    parser.add_argument("--tested", type=int, default=2_000, help="others of its set, at most")
    parser.add_argument("--seeds", default="5")
    parser.add_argument("--steps", default="200", help="lengths of training")
    parser.add_argument("--budgets", default="0.1")
    parser.add_argument("--pools", default="icons,clipart")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if "icons" in args.pools.split(","):
        compare(Vectors(args.show / "in", args.out / "in"), args.out / "icons", args)
    if "clipart" in args.pools.split(","):
        compare(Pictures(args.clipart, args.icons), args.out / "clipart", args)


if __name__ == "__main__":
    main()
