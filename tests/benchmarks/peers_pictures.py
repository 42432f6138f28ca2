"""A chain over pictures beside Data-Juicer's: words, shorter side, aspect ratio, pictures of one perceptual hash.

Ours reads webdataset tars and writes webdataset tars, the members of what it keeps byte for byte; Data-Juicer reads
JSON lines that name picture files, which lie there already, and writes JSON lines: no picture. Ours also decodes every
picture and hashes its bytes and pixels, and writes a ledger. Both call duplicates what has one 64-bit DCT hash, each
its own; the pictures are the clip art on white, for the two lay transparent ones on different grounds. What both
keep is printed. Two sizes: the last row says what more pairs cost in processor time, in which no start is.

    PYTHONPATH=. python tests/benchmarks/peers_pictures.py --pairs 1000 7000 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from tests.benchmarks import _peers
from tests.benchmarks._peers import Spent
from tests.benchmarks._steps import CLIPART, EXAMPLES, samples, write_tar
from tests.benchmarks._table import Row, show
from tests.benchmarks.peers_embed import opaque

PEER = "py-data-juicer"
TARS = 4
WORDS, SIDE, ASPECT = 2, 64, 3.0

JOB = """
name: pictures
input: [{{path: '{given}/*.tar'}}]
output: {made}
steps:
  - signals: [words, min_side, aspect_ratio]
  - rules: {{words: {{min: {words}}}, min_side: {{min: {side}}}, aspect_ratio: {{max: {aspect}}}}}
  - near_pictures: {{hamming: 0}}
  - write: {{samples_per_shard: 1000}}
"""


def write(folder: Path, pairs: int) -> int:
    """The same pairs as tars, and as files with a table of JSON lines; returns how many."""
    known = samples(sorted((CLIPART if CLIPART.is_dir() else EXAMPLES).glob("*.tar")))[:pairs]
    (folder / "files").mkdir(parents=True)
    with (folder / "pairs.jsonl").open("w") as lines:
        for number in range(TARS):
            given = [opaque(pair) for pair in known[number::TARS]]
            write_tar(folder / "tars" / f"{number:05d}.tar", [m for pair in given for m in pair])
            for (name, picture), (_, text) in given:
                path = folder / "files" / name
                path.write_bytes(picture)
                line = {"key": path.stem, "text": text.decode(), "images": [str(path)]}
                lines.write(json.dumps(line) + "\n")
    return len(known)


def job(folder: Path, made: Path) -> str:
    """Ours, over what ``write`` put into folder/in."""
    bounds = {"words": WORDS, "side": SIDE, "aspect": ASPECT}
    return JOB.format(given=folder / "in" / "tars", made=made, **bounds)


def ours_kept(run: Path) -> set[str]:
    """Keys, by the ledger."""
    rows = [
        row
        for path in sorted((run / "ledger").glob("*.parquet"))
        for row in pq.read_table(path, columns=["key", "kept"]).to_pylist()
    ]
    return {row["key"] for row in rows if row["kept"]}


def theirs_kept(made: Path) -> set[str]:
    """Keys, by the lines written."""
    return {json.loads(line)["key"] for line in (made / "kept.jsonl").open()}


def measure(folder: Path, python: Path, count: int, rounds: int) -> dict[str, list[Spent]]:
    """Both in turn; prints what they keep."""

    def tamis(number: int) -> Spent:
        return _peers.ours(folder / "job.yaml", job(folder, folder / f"ours-{number}"))

    def peer(number: int) -> Spent:
        bounds = ("--words", WORDS, "--side", SIDE, "--aspect", ASPECT)
        workers = ("--workers", len(os.sched_getaffinity(0)))
        given, made = folder / "in" / "pairs.jsonl", folder / f"theirs-{number}"
        return _peers.theirs(python, "_peer_data_juicer.py", given, made, *bounds, *workers)

    spent = _peers.take_turns({"ours": tamis, PEER: peer}, rounds)
    mine, other = ours_kept(folder / "ours-0"), theirs_kept(folder / "theirs-0")
    print(
        f"of {count:,} ours keeps {len(mine):,}, {PEER} {len(other):,}, both {len(mine & other):,}"
    )
    return spent


def rows(folder: Path, sizes: Sequence[int], rounds: int) -> list[Row]:
    """Both sizes, and what more pairs cost."""
    python = _peers.interpreter(PEER)
    if python is None:
        return [_peers.missing("chain of pictures", PEER)]
    named = _peers.release(PEER)
    made: list[Row] = []
    counts, spent = [], []
    for pairs in sizes:
        count = write(folder / str(pairs) / "in", pairs)
        took = measure(folder / str(pairs), python, count, rounds)
        what = f"chain of pictures, {count:,} pairs"
        made += _peers.beside(what, named, count, "pairs", took["ours"], took[PEER])
        counts.append(count)
        spent.append(took)
    grown = ([took[name] for took in spent] for name in ("ours", PEER))
    more = counts[1] - counts[0]
    return [*made, _peers.growth("chain of pictures", named, more, "pairs", *grown)]


def main() -> None:
    """A table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--pairs", type=int, nargs=2, help="both sizes; all, and a fifth of them")
    options.add_argument("--rounds", type=int, default=3)
    asked = options.parse_args()
    most = 7_000 if CLIPART.is_dir() else 905
    with tempfile.TemporaryDirectory(prefix="tamis-peers-") as name:
        found = rows(Path(name), asked.pairs or (most // 5, most), asked.rounds)
    show("rules and equal pictures, whole commands", found)


if __name__ == "__main__":
    main()
