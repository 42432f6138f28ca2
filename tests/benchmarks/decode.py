"""Where pictures are decoded fastest: by one thread, by threads of one process, or by Ray tasks.

Pictures in memory become batches of 32 preprocessed ones in one process, in order, as a worker that embeds gets them:
by its own thread (as on the CPU), by as many threads as there are processors (as beside a GPU), and by as many Ray
tasks (as with `resources.decode_tasks`), which hand them over through the object store. In full, and JPEGs also by the
decoder `shrink`. By the clock, Ray's start apart, no model beside them. JPEG decoding on a GPU, whose pixels are
others, is not offered.

    PYTHONPATH=. python tests/benchmarks/decode.py --pictures 512
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from tamis.pipeline import encoders
from tamis.pipeline.encoders.preprocessing import Pixels
from tamis.pipeline.host.lookahead import in_order
from tamis.pipeline.inputs.images import MAX_PIXELS
from tamis.pipeline.runs.ray_engine import RayMap
from tamis.pipeline.steps.embed.decoding import pixels
from tests.benchmarks._steps import EXAMPLES, members
from tests.benchmarks._table import Row, faster, race, show
from tests.benchmarks.precision import SIDE, as_jpeg

BATCH = 32
CORES = len(os.sched_getaffinity(0))

Cut = Callable[[Sequence[bytes]], Pixels]


def in_threads(cut: Cut, groups: Sequence[Sequence[bytes]]) -> None:
    """As `decoding.batches` beside a GPU."""
    with ThreadPoolExecutor(CORES) as pool:
        for _ in in_order(lambda group: pool.submit(cut, group), Future.result, groups, CORES):
            pass


def measure(name: str, pictures: Sequence[bytes], cut: Cut, rounds: int) -> Iterator[Row]:
    """All three; threads and tasks beside one thread."""
    groups = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
    elsewhere = RayMap(CORES)
    works: dict[str, Callable[[], object]] = {
        "one thread": lambda: [*map(cut, groups)],
        f"{CORES} threads": lambda: in_threads(cut, groups),
        f"{CORES} Ray tasks": lambda: [None for _ in elsewhere(cut, groups)],
    }
    for work in works.values():
        work()
    seconds = race(works, rounds, time.perf_counter)
    for way in list(works)[1:]:
        what, count = f"{name}: {way}", len(pictures)
        yield faster(what, "one thread", count, "pictures/s", seconds[way], seconds["one thread"])


def main() -> None:
    """One table."""
    import ray

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pictures", type=int, default=256)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    known = encoders.describe("demo").preprocessing
    assert known is not None
    full, shrunk = (
        partial(pixels, preprocessing=known, limit=MAX_PIXELS, shrink=shrink)
        for shrink in (False, True)
    )
    found = members(sorted(EXAMPLES.glob("*.tar")))
    art = [data for name, data in found if name.endswith(".png")][: given.pictures]
    jpegs = [as_jpeg(data) for data in art]
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    rows = [
        *measure("clip art", art, full, given.rounds),
        *measure(f"JPEGs of {SIDE} pixels", jpegs, full, given.rounds),
        *measure(f"JPEGs of {SIDE} pixels, shrink", jpegs, shrunk, given.rounds),
    ]
    ray.shutdown()
    show(f"decoding, {len(art)} pictures to batches of {BATCH}", rows)


if __name__ == "__main__":
    main()
