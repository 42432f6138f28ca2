"""Which choice trains a better model, asked of the icons by the project's own commands, as docs/selection.md has it.

    PYTHONPATH=. python -m tests.benchmarks.make_icons ICONS --most 24000
    PYTHONPATH=. python -m tests.benchmarks.showcase ICONS OUT

A fifth of the pool's sets train a scorer, a stand-in for CLIP that has seen none of the others: one head over
outlines and colours of 32 pixels, one over hashed words and letters. The rest is the pool; the sets under ICONS/held
are measured on. ``OUT/in`` has pictures' captions and embeddings, ``OUT/run`` the run, and what `tamis evaluate` says
of the pool as it is, and with 40% of its captions exchanged, is printed.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from PIL import Image

from tamis.pipeline.algorithms.heads import Scale, Sides, train
from tamis.schemas.evaluation import Training

SIDE, CELLS, ANGLES = 32, 4, 9
WORDS = 1_024
"""Dimensions that words and letters are hashed to."""

WIDTH = 64
SCORER = Training(steps=1_500, batch=256, width=WIDTH, rate=3e-3, decay=0.1)

JOB = """\
name: showcase
input: [{{path: {folder}/pairs.parquet, image_embeddings: {folder}/image.npy, text_embeddings: {folder}/text.npy}}]
output: {output}
steps:
  - signals: [set]
  - embed: {{encoder: precomputed}}
  - semantic_duplicates: {{clusters: auto, epsilon: 0.03}}
  - score: {{name: similarity, signal: clip_similarity, keep: 0.5}}
  - density: {{clusters: auto, keep: 0.4}}
  - write: {{format: parquet}}
"""

AGAINST = "random,deduplicated,score,density-hard,score:0.5>density,score:0.5>density-hard,full,run"

Floats = npt.NDArray[np.float32]


class Read(NamedTuple):
    """All pairs: name, caption, set, and features of both sides."""

    key: list[str]
    text: list[str]
    of: npt.NDArray[np.str_]
    picture: Floats
    caption: Floats


def members(path: Path) -> Iterator[tuple[str, bytes, str]]:
    """(key, PNG, caption) of each pair of a tar."""
    with tarfile.open(path) as tar:
        found: dict[str, Any] = {}
        for member in tar:
            key, _, suffix = member.name.partition(".")
            file = tar.extractfile(member)
            assert file is not None, member.name
            found[suffix] = file.read()
            if suffix == "json":  # the last of the three
                yield key, found["png"], found["txt"].decode()


def is_scorers(name: str) -> bool:
    """Tell whether a set trains the scorer: a fifth of them do, by a hash of their names."""
    return xxhash.xxh3_64_intdigest(name.encode()) % 5 == 0


def outlines(pictures: npt.NDArray[np.uint8]) -> Floats:
    """Features of pictures (n, 32, 32, 3): edges by direction and cell, colours by cell."""
    wide = pictures.astype(np.float32) / 255
    light = wide.mean(axis=3)
    down, right = np.gradient(light, axis=(1, 2))
    size = np.hypot(down, right)
    angle = (np.arctan2(down, right) % np.pi / np.pi * ANGLES).astype(int) % ANGLES
    step = SIDE // CELLS
    cells = [_cells(np.where(angle == number, size, 0.0), step) for number in range(ANGLES)]
    colours = [_cells(wide[..., channel], step) for channel in range(3)]
    edges = np.concatenate(cells, axis=1)
    edges /= np.linalg.norm(edges, axis=1, keepdims=True) + 1e-3
    return np.concatenate([edges, *colours], axis=1).astype(np.float32)


def _cells(values: npt.NDArray[np.floating], step: int) -> npt.NDArray[np.floating]:
    """Means (n, CELLS * CELLS) over square cells of values (n, SIDE, SIDE)."""
    cut = values.reshape(len(values), CELLS, step, CELLS, step)
    means: npt.NDArray[np.floating] = cut.mean(axis=(2, 4)).reshape(len(values), -1)
    return means


def words(texts: list[str]) -> Floats:
    """Counts (n, WORDS) of hashed words and runs of four letters, each row of length 1."""
    counts = np.zeros((len(texts), WORDS), np.float32)
    for row, text in enumerate(texts):
        padded = f" {text} "
        pieces = [*text.split(), *(padded[i : i + 4] for i in range(len(padded) - 3))]
        for piece in pieces:
            counts[row][xxhash.xxh3_64_intdigest(piece.encode()) % WORDS] += 1
    unit: Floats = counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-6)
    return unit


def read(icons: Path) -> Read:
    """The pairs of the pool and of what is held out."""
    key: list[str] = []
    text: list[str] = []
    pictures: list[npt.NDArray[np.uint8]] = []
    for path in [*sorted((icons / "pool").glob("*.tar")), *sorted((icons / "held").glob("*.tar"))]:
        for name, png, caption in members(path):
            key.append(name)
            text.append(caption)
            picture = (
                Image.open(io.BytesIO(png))
                .convert("RGB")
                .resize((SIDE, SIDE), Image.Resampling.BOX)
            )
            pictures.append(np.asarray(picture))
    of = np.array([name.rpartition("_")[0] for name in key])
    return Read(key, text, of, outlines(np.stack(pictures)), words(text))


def embedded(found: Read, fitting: npt.NDArray[np.bool_]) -> Sides:
    """Embeddings of both sides by two heads that are trained on the pairs of ``fitting``."""
    image, text = Scale.of(found.picture[fitting]), Scale.of(found.caption[fitting])
    every = Sides(image(found.picture), text(found.caption))
    heads = train(every.take(np.flatnonzero(fitting)), SCORER, 0)
    return Sides(heads.images(every.image), heads.texts(every.text))


def write_input(folder: Path, found: Read, sides: Sides, rows: npt.NDArray[np.int64]) -> None:
    """The pairs' captions and embeddings, as a job reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {
        "key": [found.key[row] for row in rows],
        "text": [found.text[row] for row in rows],
        "set": found.of[rows].tolist(),
    }
    pq.write_table(pa.table(columns), folder / "pairs.parquet")
    np.save(folder / "image.npy", sides.image[rows].astype(np.float16))
    np.save(folder / "text.npy", sides.text[rows].astype(np.float16))


def tamis(*arguments: str) -> None:
    """Do a command and print what it prints."""
    print("$ tamis " + " ".join(arguments), flush=True)
    code = "from tamis.jobs.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("icons", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", default="5")
    parser.add_argument("--steps", default="400,1600", help="lengths of training")
    parser.add_argument("--budgets", default="0.1,0.2")
    args = parser.parse_args()
    found = read(args.icons)
    held = sorted(path.stem for path in (args.icons / "held").glob("*.tar"))
    scoring = [name for name in set(found.of.tolist()) if name not in held and is_scorers(name)]
    fitting = np.isin(found.of, scoring)
    print(
        f"scorer: {fitting.sum():,} pairs of {len(scoring)} sets; {(~fitting).sum():,} others",
        flush=True,
    )
    write_input(args.out / "in", found, embedded(found, fitting), np.flatnonzero(~fitting))
    job = args.out / "job.yaml"
    job.write_text(JOB.format(folder=args.out / "in", output=args.out / "run"))
    tamis("run", str(job), "--progress", "none")
    asked = [
        "--holdout-by",
        f"set={','.join(held)}",
        "--budgets",
        args.budgets,
        "--seeds",
        args.seeds,
    ]
    asked += ["--steps", args.steps, "--against", AGAINST]
    for more in ([], ["--mismatch", "0.4"]):
        tamis("evaluate", str(args.out / "run"), *asked, *more)


if __name__ == "__main__":
    main()
