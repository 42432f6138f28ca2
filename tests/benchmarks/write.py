"""The write step beside a plain copy of the bytes that it keeps.

The step is all of its tasks as the engine does them: which rows are kept, shards with members byte for byte (captions
and a few pictures compared with what ingest noted), sidecars, statistics and `subset.npy`. The copy reads the range
of every kept member from the same tars and writes it to one file for each shard; a second one takes sha256 along, as
the manifest needs it. Nothing is synced on either side, and what the round before wrote is removed first, for
replacing a file frees its memory, and no run does that. By processor time and by the clock. One job keeps all pairs,
one those of longer captions: nearly all of the clip art, three fifths of the JPEGs.

    PYTHONPATH=. python tests/benchmarks/write.py --pairs 4000 --shard 1000
"""

from __future__ import annotations

import argparse
import hashlib
import tarfile
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from tests.benchmarks._steps import EXAMPLES, recorded, samples, write_tar
from tests.benchmarks._table import Row, faster, race, show

PICTURE_SIDE = 512

JOB = """
name: speed
input: [{{path: '{folder}/in/*.tar'}}]
output: {folder}/run-{least}
steps:
  - signals: [characters]
  - rules: {{characters: {{min: {least}}}}}
  - write: {{samples_per_shard: {shard}}}
"""


def make_input(folder: Path, pairs: int, of: Path) -> None:
    """Tars of a thousand pairs: the example's, again and again under other keys."""
    known = samples(sorted(of.glob("*.tar")))
    for first in range(0, pairs, 1000):
        given = [
            (f"{first + place:08d}.{name.partition('.')[2]}", data)
            for place, pair in enumerate(islice(cycle(known), first, min(first + 1000, pairs)))
            for name, data in pair
        ]
        write_tar(folder / "in" / f"{first // 1000:05d}.tar", given)


def ranges(root: Path, tars: Path) -> dict[Path, list[tuple[int, int]]]:
    """Where the members that a run kept lie in its inputs: told by the shards' own keys and the inputs' headers."""
    import pyarrow.parquet as pq

    kept: dict[str, set[str]] = {}
    for sidecar in sorted((root / "shards").glob("*.parquet")):
        table = pq.read_table(sidecar, columns=["source", "source_key"])
        for row in table.to_pylist():
            kept.setdefault(Path(row["source"]).name, set()).add(row["source_key"])
    found: dict[Path, list[tuple[int, int]]] = {}
    for name, keys in sorted(kept.items()):
        path = tars / name
        with tarfile.open(path) as tar:
            found[path] = [
                (info.offset_data, info.size) for info in tar if info.name.partition(".")[0] in keys
            ]
    return found


def copy(found: dict[Path, list[tuple[int, int]]], out: Path, hashed: bool) -> None:
    """Every range read, and written one after another."""
    digest = hashlib.sha256()
    with out.open("wb") as target:
        for path, pieces in found.items():
            with path.open("rb") as source:
                for offset, size in pieces:
                    source.seek(offset)
                    data = source.read(size)
                    if hashed:
                        digest.update(data)
                    target.write(data)


def clear(root: Path, out: Path) -> None:
    """Remove the shards, and what a copy wrote."""
    for path in [*(root / "shards").iterdir(), out]:
        path.unlink(missing_ok=True)


def photographs(folder: Path, count: int) -> Path:
    """One tar of JPEGs of noise, about 116 kB each, with captions of many lengths."""
    import io

    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    given = []
    for number in range(count):
        coarse = draw.integers(0, 256, (PICTURE_SIDE // 2, PICTURE_SIDE // 2, 3), dtype=np.uint8)
        out = io.BytesIO()
        picture = Image.fromarray(coarse).resize((PICTURE_SIDE, PICTURE_SIDE))
        picture.save(out, "JPEG", quality=70)
        caption = "a photograph " * int(draw.integers(1, 4))
        given += [(f"{number:05d}.jpg", out.getvalue()), (f"{number:05d}.txt", caption.encode())]
    return write_tar(folder / "photographs" / "00000.tar", given).parent


def measure(title: str, folder: Path, given: argparse.Namespace, of: Path) -> Iterator[Row]:
    """Rows for all pairs and for a part of them."""
    make_input(folder, given.pairs, of)
    out = folder / "copy"
    for least in (0, 20):
        done = recorded(JOB.format(folder=folder, least=least, shard=given.shard))
        found = ranges(Path(done.root), folder / "in")
        size = sum(length for pieces in found.values() for _, length in pieces)
        works = {
            "step": partial(done.again, "write/kept", "write/shards", "write/subset"),
            "copy": partial(copy, found, out, hashed=False),
            "hashed": partial(copy, found, out, hashed=True),
        }
        before = partial(clear, Path(done.root), out)
        name = f"{title}, {'some' if least else 'all'} kept: {size / 1e6:,.0f} MB"
        for clock, unit in ((time.process_time, "MB/CPU s"), (time.perf_counter, "MB/s")):
            seconds = race(works, given.rounds, clock, before)
            step = seconds["step"]
            yield faster(name, "copy", size / 1e6, unit, step, seconds["copy"], ">= 0.7")
            yield faster(name, "copy + sha256", size / 1e6, unit, step, seconds["hashed"])


def main() -> None:
    """One table: clip art, and larger pictures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=4000)
    options.add_argument("--shard", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tamis-write-") as name:
        rows += measure("clip art", Path(name, "art"), given, EXAMPLES)
        rows += measure("JPEGs", Path(name, "jpeg"), given, photographs(Path(name), 64))
    show(f"write, {given.pairs:,} pairs, one process", rows)


if __name__ == "__main__":
    main()
