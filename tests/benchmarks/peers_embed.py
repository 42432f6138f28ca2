"""Embedding beside clip-retrieval's own inference: the same tars, the same checkpoint, fp32 on processors.

The pictures are the clip art on white, as opaque PNG, for the two lay transparent ones on different grounds; the model
is ViT-B/32 of open_clip with random weights in a file that both load. What both wrote is compared: the cosine of
every pair of vectors. Three figures each:

- the command, from its call to its exit. Ours starts Ray, checks every tar header, hashes every member, and takes the
  perceptual hash of each picture besides; theirs only embeds;
- processor seconds of all its processes;
- *steady*: ours from the start of the first phase to the end of the last, the loading of the model by each worker
  included, by our own events; theirs the sum of its batches (reading, model, writing) by its own statistics, with
  the model loaded and warm before.

    PYTHONPATH=. python tests/benchmarks/peers_embed.py --pairs 800 --rounds 3
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
from tests.benchmarks._peers import Spent
from tests.benchmarks._steps import CLIPART, EXAMPLES, Member, samples, write_tar
from tests.benchmarks._table import Row, faster, show
from tests.benchmarks.embed import _on_white, spec

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
    walked = sorted((run / "tables" / "ingest" / "files").glob("*.parquet"))
    embedded = sorted((run / "tables" / "embed" / "vectors").glob("*.parquet"))
    for files, vectors in zip(walked, embedded, strict=True):
        keys = pq.read_table(files, columns=["key"])["key"].to_pylist()
        for row in pq.read_table(vectors, columns=["row", "image", "text"]).to_pylist():
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
    """Seconds of all phases, by the clock."""
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return sum(float(line["seconds"]) for line in lines if line["event"] == "PhaseEnded")


def their_steady(made: Path) -> float:
    """Seconds of all batches, by the clock."""
    (path,) = (made / "stats").glob("[0-9]*.json")
    return float(json.loads(path.read_text())["total_duration"])


def main() -> None:
    """A table, and how alike the vectors are."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--pairs", type=int, default=800)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--model", default="ViT-B-32")
    options.add_argument("--batch", type=int, default=32)
    options.add_argument(
        "--decoders", type=int, nargs="+", default=[1, 2], help="the quickest counts"
    )
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tamis-peers-") as name:
        show("embedding, fp32 on processors, whole commands", measure(Path(name), asked))


def measure(folder: Path, asked: argparse.Namespace) -> list[Row]:
    """The rows, for each number of decoding processes that theirs is given."""
    python = _peers.interpreter(PEER)
    if python is None:
        return [_peers.missing(f"embed, {asked.model}", PEER)]
    count = write(folder / "in", asked.pairs)
    encoder = spec(asked.model, folder)

    def tamis(number: int) -> Spent:
        made = folder / f"ours-{number}"
        job = JOB.format(given=folder / "in", made=made, encoder=encoder, batch=asked.batch)
        return _peers.ours(folder / "job.yaml", job)

    def peer(decoders: int, number: int) -> Spent:
        given = f"{folder}/in/{{00000..{TARS - 1:05d}}}.tar"
        flags = ("--model", encoder, "--batch", asked.batch, "--workers", decoders)
        made = folder / f"theirs-{decoders}-{number}"
        return _peers.theirs(python, "_peer_clip_retrieval.py", given, made, *flags)

    named = {
        f"{_peers.release(PEER)}, {decoders} decoding": decoders for decoders in asked.decoders
    }
    works = {name: partial(peer, decoders) for name, decoders in named.items()}
    spent = _peers.take_turns({"ours": tamis, **works}, asked.rounds)
    ours = [our_steady(folder / f"ours-{number}") for number in range(asked.rounds)]
    what = f"embed, {asked.model}, {count} pairs"
    rows: list[Row] = []
    for name, decoders in named.items():
        made = [folder / f"theirs-{decoders}-{number}" for number in range(asked.rounds)]
        image, text = cosines(folder / "ours-0", made[0])
        print(
            f"{name}: cosine of pictures {image.mean():.6f}, at worst {image.min():.6f}; "
            f"of captions {text.mean():.6f}, at worst {text.min():.6f}"
        )
        rows += _peers.beside(what, name, count, "pairs", spent["ours"], spent[name])
        steady = [their_steady(path) for path in made]
        rows.append(faster(f"{what}, steady", name, count, "pairs/s", ours, steady, "> 1"))
    return rows


if __name__ == "__main__":
    main()
