"""Reading samples from webdataset tars: ours beside webdataset's and Ray Data's readers, on the same files.

All three give samples, a key and the bytes of each member. Ours checks every header and hashes every byte besides. Ours
and webdataset's are by processor time of this process; Ray's tasks run in processes of their own, so that there wall
time is compared, over the first of the tars: Ray's start apart, but with what it plans for each reading. Once clip art
of 3 kB, once JPEGs of 116 kB.

    PYTHONPATH=. python tests/benchmarks/read.py --megabytes 500 --rounds 5
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import webdataset

from tamis.pipeline.inputs.tar import webdataset as grouping
from tamis.pipeline.inputs.tar.walker import Damage, Walker
from tamis.pipeline.store import storage
from tests.benchmarks._steps import EXAMPLES, Member, members, write_tar
from tests.benchmarks._table import Row, faster, race, show
from tests.benchmarks.write import photographs


def ours(tars: Sequence[Path]) -> None:
    """As ingest does: checksums of headers, sha256 of contents, members of a key together, their bytes."""
    for path in tars:
        with storage.open_read(str(path)) as stream:
            for one in grouping.group(Walker(stream)):
                assert not isinstance(one, Damage)
                assert one.key
                {suffix: bytes(member.data) for suffix, member in one.members.items()}


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


def filled(folder: Path, given: Sequence[Member], megabytes: int) -> list[Path]:
    """Tars of these members, again and again, until there are as many bytes."""
    tars = [write_tar(folder / "00000.tar", given)]
    while len(tars) * tars[0].stat().st_size < megabytes * 1e6:
        tars.append(write_tar(folder / f"{len(tars):05d}.tar", given))
    return tars


def measure(name: str, tars: Sequence[Path], few: int, rounds: int) -> Iterator[Row]:
    """Beside webdataset all of them, beside Ray the first."""
    size = sum(path.stat().st_size for path in tars) / 1e6
    seconds = race({"ours": lambda: ours(tars), "theirs": lambda: theirs(tars)}, rounds)
    what = f"{name}, {size:,.0f} MB"
    yield faster(what, "webdataset", size, "MB/CPU s", seconds["ours"], seconds["theirs"], "> 1")
    some = tars[:few]
    size = sum(path.stat().st_size for path in some) / 1e6
    rays(some[:1])  # its workers start
    works = {"ours": lambda: ours(some), "theirs": lambda: rays(some)}
    seconds = race(works, rounds, time.perf_counter)
    what, beside = f"{name}, {size:,.0f} MB, one process", "ray.data.read_webdataset, all cores"
    yield faster(what, beside, size, "MB/s", seconds["ours"], seconds["theirs"], "> 1")


def main() -> None:
    """One table."""
    import ray.data

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--megabytes", type=int, default=500, help="of clip art, and of JPEGs")
    options.add_argument("--few", type=int, default=24, help="tars that Ray reads")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    rows: list[Row] = []
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # a page of progress for each reading
    with tempfile.TemporaryDirectory(prefix="tamis-read-") as name:
        folder = Path(name)
        art = list(members(sorted(EXAMPLES.glob("*.tar"))))
        jpegs = list(members([photographs(folder, 50) / "00000.tar"]))
        for kind, held in (("clip art", art), ("JPEGs", jpegs)):
            tars = filled(folder / kind, held, given.megabytes)
            rows += measure(kind, tars, given.few, given.rounds)
    ray.shutdown()
    show("reading samples", rows)


if __name__ == "__main__":
    main()
