"""Embedding beside clip-retrieval's own inference: the same tars, the same checkpoint, fp32 on processors.

The pictures are the clip art on white, as opaque PNG, for the two lay transparent ones on different grounds; the model
is ViT-B/32 of open_clip with random weights in a file that both load. What both wrote is compared: the cosine of
every pair of vectors. Two sizes, and four figures:

- the command, from its call to its exit. Ours starts Ray, checks every tar header, hashes every member, and takes the
  perceptual hash of each picture besides; theirs only embeds;
- processor seconds of all its processes;
- *steady*: ours the phases of the step, in which each worker loads the model, by our own events; theirs the sum of its
  batches (reading, model, writing) by its own statistics, its model loaded and warm before;
- what more pairs cost: the difference of processor seconds between the two sizes, in which no start is.

    PYTHONPATH=. python tests/benchmarks/peers_embed.py --pairs 80 400 --rounds 3
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tests.benchmarks import _peers
from tests.benchmarks._peers import Command, Spent
from tests.benchmarks._steps import CLIPART, EXAMPLES, Member, samples, write_tar
from tests.benchmarks._table import Row, faster, show
from tests.benchmarks.embed import _on_white, spec
from tests.support.tables import by_part

PEER = "clip-retrieval"
TARS = 4

JOB = """
name: embedding
input: [{{path: '{given}/*.tar'}}]
output: {made}
steps:
  - embed: {{encoder: '{encoder}', batch_size: {batch}}}
"""


def opaque(pair: Sequence[Member]) -> list[Member]:
    """The pair, its picture on white and its caption."""
    members = {name.rpartition(".")[2]: (name, data) for name, data in pair}
    out = io.BytesIO()
    _on_white(members["png"][1]).save(out, "PNG", compress_level=1)
    return [(members["png"][0], out.getvalue()), members["txt"]]


def write(folder: Path, pairs: int) -> int:
    """TARS tars of the clip art; returns how many pairs they hold."""
    known = samples(sorted((CLIPART if CLIPART.is_dir() else EXAMPLES).glob("*.tar")))[:pairs]
    for number in range(TARS):
        given = [member for pair in known[number::TARS] for member in opaque(pair)]
        write_tar(folder / f"{number:05d}.tar", given)
    return len(known)


def our_vectors(run: Path) -> dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """By key, of picture and caption."""
    found = {}
    walked, embedded = by_part(run, "ingest", "files"), by_part(run, "embed", "vectors")
    for ingested, vectors in zip(walked, embedded, strict=True):
        keys = ingested["key"].to_pylist()
        for row in vectors.select(["row", "image", "text"]).to_pylist():
            found[keys[row["row"]]] = (_vector(row["image"]), _vector(row["text"]))
    return found


def _vector(data: bytes) -> npt.NDArray[np.float32]:
    return np.frombuffer(data, np.float16).astype(np.float32)


def cosines(run: Path, other: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Of every picture's and every caption's two vectors."""
    mine = our_vectors(run)
    keys: list[str] = []
    theirs: dict[str, list[Any]] = {"img": [], "text": []}
    for path in sorted((other / "metadata").glob("*.parquet")):
        keys += pq.read_table(path, columns=["image_path"])["image_path"].to_pylist()
        number = path.stem.rpartition("_")[2]
        for kind, found in theirs.items():
            found.append(np.load(other / f"{kind}_emb" / f"{kind}_emb_{number}.npy"))
    assert sorted(keys) == sorted(mine), "the two programs embedded different pairs"
    image, text = (
        _cosine(np.stack([mine[key][place] for key in keys]), np.concatenate(theirs[kind]))
        for place, kind in enumerate(theirs)
    )
    return image, text


def _cosine(one: npt.NDArray[Any], two: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    one, two = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, two.astype(np.float32))
    )
    return np.asarray((one * two).sum(axis=1))


def our_steady(run: Path) -> float:
    """Seconds of the step's phases, by the clock."""
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    ended = [line for line in lines if line["event"] == "PhaseEnded" and line["step"] == "embed"]
    return sum(float(line["seconds"]) for line in ended)


def their_steady(made: Path) -> float:
    """Seconds of all batches, by the clock."""
    (path,) = (made / "stats").glob("[0-9]*.json")
    return float(json.loads(path.read_text())["total_duration"])


def main() -> None:
    """A table, and how alike the vectors are."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--pairs", type=int, nargs=2, default=[80, 400], help="both sizes")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--model", default="ViT-B-32")
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--decoders", type=int, default=1, help="processes of theirs that decode")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tamis-peers-") as name:
        rows = measure(Path(name), asked)
    show("embedding, fp32 on processors, whole commands", rows)


def measure(folder: Path, asked: argparse.Namespace) -> list[Row]:
    """The rows of both sizes."""
    python = _peers.interpreter(PEER)
    if python is None:
        return [_peers.missing(f"embed, {asked.model}", PEER)]
    named, encoder = _peers.release(PEER), spec(asked.model, folder)
    rows: list[Row] = []
    rounds: list[dict[str, list[Spent]]] = []
    counts = []
    for pairs in asked.pairs:
        place = folder / str(pairs)
        counts.append(write(place / "in", pairs))
        works: dict[str, Command] = {
            "ours": partial(tamis, place, encoder, asked.batch),
            PEER: partial(peer, python, place, encoder, asked.batch, asked.decoders),
        }
        spent = _peers.take_turns(works, asked.rounds)
        rounds.append(spent)
        image, text = cosines(place / "ours-0", place / "theirs-0")
        print(
            f"cosine of pictures {image.mean():.6f}, at worst {image.min():.6f}; "
            f"of captions {text.mean():.6f}, at worst {text.min():.6f}"
        )
        what = f"embed, {asked.model}, {counts[-1]} pairs"
        rows += _peers.beside(what, named, counts[-1], "pairs", spent["ours"], spent[PEER])
        steady = (
            [our_steady(place / f"ours-{number}") for number in range(asked.rounds)],
            [their_steady(place / f"theirs-{number}") for number in range(asked.rounds)],
        )
        rows.append(faster(f"{what}, steady", named, counts[-1], "pairs/s", *steady, goal="> 1"))
    grown = ([spent[name] for spent in rounds] for name in ("ours", PEER))
    more = counts[1] - counts[0]
    return [*rows, _peers.growth(f"embed, {asked.model}", named, more, "pairs", *grown)]


def tamis(place: Path, encoder: str, batch: int, number: int) -> Spent:
    """Our command."""
    made = place / f"ours-{number}"
    job = JOB.format(given=place / "in", made=made, encoder=encoder, batch=batch)
    return _peers.ours(place / "job.yaml", job)


def peer(python: Path, place: Path, encoder: str, batch: int, decoders: int, number: int) -> Spent:
    """Theirs."""
    given, made = f"{place}/in/{{00000..{TARS - 1:05d}}}.tar", place / f"theirs-{number}"
    flags = ("--model", encoder, "--batch", batch, "--workers", decoders)
    return _peers.theirs(python, "_peer_clip_retrieval.py", given, made, *flags)


if __name__ == "__main__":
    main()
