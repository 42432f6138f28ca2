"""Reading every member of webdataset tars: our walk beside webdataset's and Ray Data's readers, on the same files.

Ours checks every header and hashes every byte besides; the others only hand bytes out. Ours and webdataset's are by
processor time of this process; Ray's tasks run in processes of their own, so that there wall time is compared, its
start apart. With ``--ray`` only, for it takes all processors.

    PYTHONPATH=. python tests/benchmarks/read.py --copies 8 --ray
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import webdataset

from pipeline import storage
from pipeline.formats.tar import Walker
from tests.benchmarks._steps import EXAMPLES, members, write_tar
from tests.benchmarks._table import Row, faster, race, show


def ours(tars: Sequence[Path]) -> None:
    """The walker of ingest: checksums of headers, sha256 of contents."""
    for path in tars:
        with storage.open_read(str(path)) as stream:
            for _ in Walker(stream):
                pass


def theirs(tars: Sequence[Path]) -> None:
    """webdataset, undecoded."""
    for _ in webdataset.WebDataset([str(path) for path in tars], shardshuffle=False):
        pass


def rays(tars: Sequence[Path]) -> None:
    """Ray Data's reader, undecoded, its blocks thrown away."""
    import ray.data

    rows = ray.data.read_webdataset([str(path) for path in tars], decoder=None)
    for _ in rows.iter_batches(batch_format="pyarrow"):
        pass


def main() -> None:
    """One table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--copies", type=int, default=8, help="of the example's four tars")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tamis-read-") as name:
        held = list(members(sorted(EXAMPLES.glob("*.tar"))))
        tars = [write_tar(Path(name, f"{copy:03d}.tar"), held) for copy in range(given.copies)]
        size = sum(path.stat().st_size for path in tars) / 1e6
        seconds = race({"ours": lambda: ours(tars), "theirs": lambda: theirs(tars)}, given.rounds)
        rows = [faster("walk", "webdataset", size, "MB/CPU s", seconds["ours"], seconds["theirs"])]
        rows.append(_beside_ray(tars, size, given.rounds))
    show(f"reading, {size:,.0f} MB of clip art", rows)


def _beside_ray(tars: Sequence[Path], size: float, rounds: int) -> Row:
    import ray

    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    rays(tars[:1])  # its workers start
    works = {"ours": lambda: ours(tars), "theirs": lambda: rays(tars)}
    seconds = race(works, rounds, time.perf_counter)
    ray.shutdown()
    beside = "ray.data.read_webdataset, all cores"
    return faster("walk, one process", beside, size, "MB/s", seconds["ours"], seconds["theirs"])


if __name__ == "__main__":
    main()
