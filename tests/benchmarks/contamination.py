"""A test suite hidden in a pool of real pictures: how much of it `exclude` finds by embedding.

    PYTHONPATH=. python -m tests.benchmarks.contamination FOLDER [--pairs '../shared/data/openclipart/*.tar']
        [--scorer SHOW/scorer.npz]

The encoder is `demo`, or the scorer of the showcase (`icon_encoder`). 200 pictures of the pairs, by default clip art,
are the suite. Damaged copies, under other captions, lie in the pool among 2,000 others.
A copy is found at an epsilon if a picture of the suite lies within it, and counted as found rightly if that is its own.
`near_pictures` is asked about the same suite and pool. Others that fall are named: clip art has near copies of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import glob
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import xxhash

from tests.benchmarks.planted import Damage, encoded, resized
from tests.support.running import Sample, ledger, make_plan, read_tar, run_here, write_tar

SUITE, OTHERS = 200, 2_000
EPSILONS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1)
DAMAGES: dict[str, Damage] = {
    "JPEG, quality 60": encoded(60),
    "JPEG, quality 30": encoded(30),
    "resized to 75%": resized(0.75),
    "resized to 50%": resized(0.5),
}
EMBED = "- embed: {{encoder: {}}}"
SCORER = f"{{{{file: {Path(__file__).with_name('icon_encoder.py')}, name: Icons, weights: {{}}}}}}"


def drawn(pattern: str) -> list[Sample]:
    """The pairs with the smallest hashes of their keys."""
    found = (sample for path in sorted(glob.glob(pattern)) for sample in read_tar(Path(path)))
    ranked = sorted(found, key=lambda sample: xxhash.xxh3_64_intdigest(sample.key.encode()))
    return [
        dataclasses.replace(sample, key=f"{number:04d}", fields={"uid": f"{number:032x}"})
        for number, sample in enumerate(ranked[: SUITE + OTHERS])
    ]


def hidden(suite: Sequence[Sample]) -> Iterator[Sample]:
    """A copy of each, damaged in one of the ways, with a caption that has nothing to do with it."""
    ways = list(DAMAGES.values())
    for number, sample in enumerate(suite):
        copy = ways[number % len(ways)](sample, random.Random(number))
        named = {"uid": f"{1_000_000 + number:032x}"}
        yield dataclasses.replace(copy, key=f"copy{number:04d}", text="other words", fields=named)


def number_of(row: dict[str, Any]) -> int | None:
    """The number of the suite's picture of which a row is a copy."""
    number = int(row["uid"], 16) - 1_000_000
    return number if number >= 0 else None


def near(folder: Path) -> tuple[set[int], int]:
    """The copies that `near_pictures` joins to their original, and how many others it joins to the suite."""
    entries = [{"path": f"{folder}/{name}.tar", "name": name} for name in ("suite", "pool")]
    run_here(make_plan(folder / "near", "", "- near_pictures\n- write", input=entries))
    group = {row["uid"]: row["survivor_uid"] or row["uid"] for row in ledger(folder / "near")}
    of_suite = {group[f"{number:032x}"]: number for number in range(SUITE)}
    copies = {n for n in range(SUITE) if group[f"{1_000_000 + n:032x}"] == group[f"{n:032x}"]}
    others = [n for n in range(SUITE, SUITE + OTHERS) if group[f"{n:032x}"] in of_suite]
    return copies, len(others)


def main() -> None:
    """Print a row for each epsilon, by kind of damage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", default="../shared/data/openclipart/*.tar")
    parser.add_argument("--scorer", type=Path, help="weights that the showcase leaves")
    args = parser.parse_args()
    folder, samples = args.folder, drawn(args.pairs)
    if len(samples) < SUITE + OTHERS:
        raise SystemExit(
            f"--pairs {args.pairs}: {len(samples):,} pairs, {SUITE + OTHERS:,} are needed"
        )
    embed = EMBED.format("demo" if args.scorer is None else SCORER.format(args.scorer.resolve()))
    suite = samples[:SUITE]
    write_tar(folder / "suite.tar", suite)
    write_tar(folder / "pool.tar", [*hidden(suite), *samples[SUITE:]])
    run_here(make_plan(folder / "suite", folder / "suite.tar", f"{embed}\n- write"))
    step = f"- exclude: {{list: {folder}/suite, on: embedding, epsilon: {EPSILONS[-1]}}}"
    run_here(make_plan(folder / "pool", folder / "pool.tar", f"{embed}\n{step}\n- write"))
    fallen = [row for row in ledger(folder / "pool") if row["step"] == "exclude"]
    by_pictures, joined = near(folder)
    print(f"near_pictures: {len(by_pictures)} of {SUITE} copies, {joined} of {OTHERS:,} others")
    print(
        "epsilon   copies   of their own   all of near_pictures'   others   " + "   ".join(DAMAGES)
    )
    for epsilon in EPSILONS:
        within = [row for row in fallen if row["value"] <= epsilon]
        copies = {number: row for row in within if (number := number_of(row)) is not None}
        right = sum(int(row["partner_uid"], 16) == number for number, row in copies.items())
        each = [
            sum(number % len(DAMAGES) == way for number in copies) * len(DAMAGES) / SUITE
            for way in range(len(DAMAGES))
        ]
        print(
            f"{epsilon:7}   {len(copies):6}   {right:12}   {by_pictures <= copies.keys()!s:>21}   "
            f"{len(within) - len(copies):6}   " + "   ".join(f"{share:.2f}" for share in each)
        )
    for row in sorted(fallen, key=lambda row: row["value"]):
        if number_of(row) is None:
            of = samples[int(row["partner_uid"], 16)]
            print(f"{row['value']:.3f}  {row['text'][:50]!r}  for  {of.text[:50]!r}")


if __name__ == "__main__":
    main()
