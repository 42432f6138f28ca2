"""What a run costs beside its steps: the start of its workers, an empty run, growth with the number of pairs.

- *start*: `tamis run` in a process of its own over three pairs, from the command to its exit, on Ray and local.
- *whole*: the example data through the preset's chain, on Ray from the first phase on and local from the start of its
  workers on, beside the sum of its tasks' processor seconds when the same steps are done one after another in one
  process, and beside straight loops that do what no program can do without (see `_floors.py`); both by as many
  processors as there are.
- *clipart*: the same, once, over all 7,396 pairs of the clip art, where they are at hand.
- *growth*: the clip art again and again under other keys, in one process: processor time a sample, and how much more
  than at each smaller size; the largest once.

    PYTHONPATH=. python tests/benchmarks/frame.py --pairs 1000 10000 100000 --rounds 3
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import cycle, islice, product
from pathlib import Path

from tamis.pipeline.runs import executors, plan, walk
from tamis.pipeline.runs.ray_engine import RayEngine
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.events import Event, PhaseStarted
from tamis.schemas.parse import parse_job
from tests.benchmarks._floors import Floors
from tests.benchmarks._steps import CLIPART, EXAMPLES, samples, write_tar
from tests.benchmarks._table import Row, show

CHAIN = """
  - signals: [words, characters, min_side, aspect_ratio]
  - rules: {words: {min: 2}, min_side: {min: 64}, aspect_ratio: {max: 3.0}}
  - exact_duplicates: {on: image}
  - near_duplicates: {jaccard: 0.8, agree: phash}
"""
EMBEDDED = """
  - embed: {encoder: demo}
  - rules: {name: similarity, clip_similarity: {min: 0.1}}
  - semantic_duplicates: {clusters: auto, epsilon: 0.07, which_to_keep: hard}
  - density: {clusters: auto, keep: 0.4, temperature: 0.1, neighbours: 20}
"""
WRITE = "  - write: {samples_per_shard: 1000}\n"
BESIDE = {
    "its tasks' processor time": "",
    "floors with open_clip's towers": "<= 1.25",
    "floors with the encoder's own towers": "",
}
"""What a whole run stands beside, and the goal."""
EMPTY = "\n  - signals: [words]\n" + WRITE


def job(name: str, tars: Path, output: Path, steps: str, part: int = 1000) -> str:
    """As YAML."""
    return f"name: {name}\ninput: [{{path: '{tars}/*.tar'}}]\noutput: {output}\npart_samples: {part}\nsteps:{steps}"


def repeated(folder: Path, pairs: int) -> Path:
    """Tars of a thousand pairs of the example, each with a key and caption of its own."""
    known = samples(sorted(EXAMPLES.glob("*.tar")))
    for first in range(0, pairs, 1000):
        given = [
            (f"{place:08d}.{name.partition('.')[2]}", _own(name, data, place))
            for place, pair in enumerate(
                islice(cycle(known), first, min(first + 1000, pairs)), start=first
            )
            for name, data in pair
        ]
        write_tar(folder / f"{first // 1000:05d}.tar", given)
    return folder


def _own(name: str, data: bytes, place: int) -> bytes:
    """Bytes of pictures that differ from round to round, and captions whose Jaccard is below the bound.

    What is a copy would be dropped early; and of the verified edges among k near copies of a pair there are k squared.
    """
    number = sha256(str(place).encode()).hexdigest().encode()
    if name.endswith(".txt"):
        return data + b" " + b" ".join(number[at : at + 6] for at in range(0, 64, 6))
    return data + number if name.endswith(".png") else data


def start(folder: Path, rounds: int) -> Iterator[Row]:
    """The command over three pairs: seconds from its call to its end."""
    tars = folder / "three"
    write_tar(tars / "0.tar", [m for pair in samples([EXAMPLES / "00000.tar"])[:3] for m in pair])
    command = [sys.executable, "-c", "from tamis.jobs.cli.app import main; main()", "run"]
    for where, goal in (("ray", "<= 15 s"), ("local", "")):
        for name in ("first run", "nothing left to do"):
            seconds, processor = [], []
            for number in range(rounds):
                output = folder / f"empty-{where}-{number}"
                path = output.with_suffix(".yaml")
                path.write_text(job("empty", tars, output, EMPTY))
                began, used = time.perf_counter(), _children()
                asked = [*command, str(path), f"--{where}", "--progress", "none"]
                subprocess.run(asked, check=True, capture_output=True)
                seconds.append(time.perf_counter() - began)
                processor.append(_children() - used)
            middle = statistics.median(seconds)
            what = f"start and an empty run, --{where}: {name}"
            spread = (min(seconds), max(seconds))
            yield Row(
                what, "", middle, None, "s", None, *spread, goal if name == "first run" else ""
            )
            yield Row(f"{what}, processor", "", statistics.median(processor), None, "CPU s", None)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Clock:
    """An observer: when the first phase began."""

    def __init__(self) -> None:
        self.began = 0.0

    def __call__(self, event: Event) -> None:
        """Note it."""
        if isinstance(event, PhaseStarted) and not self.began:
            self.began = time.perf_counter()


def whole(folder: Path, rounds: int, tars: Path, part: int) -> Iterator[Row]:
    """The chain of the preset `demo`: on Ray and local; its tasks alone; and floors, which are nobody's tasks."""
    cores = len(os.sched_getaffinity(0))
    steps = CHAIN + EMBEDDED + WRITE
    floors: Floors | None = None
    ways = {"Ray's start apart": _on_ray, "local": _local}
    seconds: dict[str, list[float]] = {name: [] for name in (*ways, *BESIDE)}
    for number in range(rounds):
        alone = job("alone", tars, folder / f"alone-{part}-{number}", steps, part)
        made = plan.make(parse_job(alone, "frame"))
        began = time.process_time()
        walk.run(made, executor=Here(made.root))
        taken = [time.process_time() - began]
        floors = floors or Floors(tars, Path(made.root), folder / "copy")
        taken += floors.seconds()
        for way, run in ways.items():
            output = folder / f"{run.__name__}-{part}-{number}"
            made = plan.make(parse_job(job("spread", tars, output, steps, part), "frame"))
            seconds[way].append(run(made))
        for name, one in zip(BESIDE, taken, strict=True):
            seconds[name].append(one / cores)
    for way, (name, goal) in product(ways, BESIDE.items()):
        ratios = [our / bare for our, bare in zip(seconds[way], seconds[name], strict=True)]
        yield Row(
            f"whole run of {tars.name}, {way}",
            f"{name}, by {cores}",
            statistics.median(seconds[way]),
            statistics.median(seconds[name]),
            "s",
            statistics.median(ratios),
            min(ratios),
            max(ratios),
            goal,
        )


def _local(made: plan.Plan) -> float:
    """Seconds from the start of its workers to the end."""
    began = time.perf_counter()
    walk.run(made, executor=executors.of(made, local=True))
    return time.perf_counter() - began


def _on_ray(made: plan.Plan) -> float:
    """Seconds from the first phase to the end."""
    engine = RayEngine(made.root, made.job.resources)
    clock = Clock()
    engine._start()
    walk.run(made, (clock,), executor=engine)
    seconds = time.perf_counter() - clock.began
    engine.stop()
    return seconds


def growth(folder: Path, sizes: Sequence[int], rounds: int) -> Iterator[Row]:
    """Microseconds of processor time a sample, without embedding, by the number of pairs."""
    middles: dict[int, float] = {}
    for pairs in sizes:
        tars = repeated(folder / f"in-{pairs}", pairs)
        seconds = []
        for number in range(rounds if pairs < max(sizes) else 1):
            text = job("growth", tars, folder / f"out-{pairs}-{number}", CHAIN + WRITE)
            made = plan.make(parse_job(text, "frame"))
            began = time.process_time()
            with storage.without_sync():
                walk.run(made, executor=Here(made.root))
            seconds.append((time.process_time() - began) / pairs * 1e6)
        middle = statistics.median(seconds)
        for other in middles or {pairs: middle}:
            base = middles.get(other, middle)
            yield Row(
                f"growth: {pairs:,} pairs",
                f"{other:,}",
                middle,
                base,
                "CPU us a sample",
                middle / base,
                min(seconds) / base,
                max(seconds) / base,
                "<= 1.2",
            )
        middles[pairs] = middle


def main() -> None:
    """A table of all three."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--pairs", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", choices=["start", "whole", "clipart", "growth"], nargs="+")
    given = options.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tamis-frame-") as name:
        folder = Path(name)
        if not given.only or "start" in given.only:
            rows += start(folder, given.rounds)
        if not given.only or "whole" in given.only:
            rows += whole(folder, given.rounds, EXAMPLES, 1000)
        if (not given.only or "clipart" in given.only) and CLIPART.exists():
            rows += whole(folder, 1, CLIPART, 128)
        if not given.only or "growth" in given.only:
            rows += growth(folder, given.pairs, given.rounds)
    show("the frame", rows)


if __name__ == "__main__":
    main()
