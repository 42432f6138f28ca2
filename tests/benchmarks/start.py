"""A small run with and without Ray: the preset `demo`, 905 pairs, as whole commands.

Each round does it twice into fresh folders, by the clock and by the processor time of all processes; shards, ledger,
index, subset and manifest of both are compared byte for byte.

    PYTHONPATH=. python tests/benchmarks/start.py --rounds 3 --cpus 2
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.benchmarks._peers import Spent, beside, take_turns, timed
from tests.benchmarks._table import show
from tests.support.running import contents

PAIRS = 905
RESULT = ("shards", "ledger", "ledger_index", "manifest")


def run(folder: Path, executor: str, cpus: int, number: int) -> Spent:
    """The preset, into a folder of its own."""
    arguments = ["run", "demo", "--output", str(folder / f"{executor}-{number}")]
    options = [f"--{executor}", "--cpus", str(cpus), "--progress", "none"]
    return timed([sys.executable, "-m", "tamis.jobs", *arguments, *options], {})


def compare(one: Path, other: Path) -> None:
    """Check that two runs have the same result.

    Raises:
        RuntimeError: a file differs.
    """
    for name in RESULT:
        if contents(one / name) != contents(other / name):
            raise RuntimeError(f"{name} of {one} and {other} differ")
    for name in ("subset.npy", "manifest.json"):
        if (one / name).read_bytes() != (other / name).read_bytes():
            raise RuntimeError(f"{name} of {one} and {other} differ")


def main() -> None:
    """One table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--cpus", type=int, default=2)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tamis-start-") as name:
        folder = Path(name)
        works = {kind: partial(run, folder, kind, given.cpus) for kind in ("local", "ray")}
        spent = take_turns(works, given.rounds)
        for number in range(given.rounds):
            compare(folder / f"local-{number}", folder / f"ray-{number}")
    rows = beside("run of the preset demo, local", "on Ray", PAIRS, "pairs", *spent.values())
    show(f"a small run, {given.cpus} processors", rows)


if __name__ == "__main__":
    main()
