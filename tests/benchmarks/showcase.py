"""Which choice trains a better model, asked of the icons by the project's own commands, as docs/selection.md has it.

    PYTHONPATH=. python -m tests.benchmarks.make_icons ICONS --most 96000
    PYTHONPATH=. python -m tests.benchmarks.showcase ICONS OUT

A fifth of the pool's sets train a scorer, a stand-in for CLIP that has seen none of the others: a small network over
outlines and colours of 32 pixels, and a bag of words and letters. The rest is the pool; the sets under ICONS/held
are measured on. ``OUT/in`` has the pairs and their embeddings, ``OUT/scorer.npz`` the scorer's weights, which
`icon_encoder` reads, ``OUT/run`` the run; ``OUT/clean.json``,
``OUT/noisy.json`` and ``OUT/long.json`` are what `tamis evaluate` says of the pool as it is, with 40% of its captions
exchanged, and after a longer training; ``OUT/index.html`` is the page that shows them, ``OUT/figure.svg`` its two
figures. The same icons and options give the same page.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from PIL import Image

from tamis.pipeline.algorithms import students
from tamis.pipeline.algorithms.contrastive import Sides
from tamis.pipeline.algorithms.heads import Scale
from tamis.schemas.evaluation import Evaluation, Training
from tests.benchmarks.icon_encoder import SIDE, WIDTH, outlines, save
from tests.benchmarks.showcase_page import figure, page

BLOCK = 5_000
"""Pictures that are looked at together."""

SCORER = Training(steps=1_500, batch=256, width=WIDTH, rate=3e-3, decay=0.1)

JOB = """\
name: showcase
input:
  - path: {folder}/pairs.parquet
    image_embeddings: {folder}/image.npy
    text_embeddings: {folder}/text.npy
    embeddings:
      outlines: {{image: {folder}/outlines.npy}}
output: {output}
steps:
  - signals: [set]
  - embed: {{encoder: precomputed}}
  - embed: {{name: outlines, encoder: "precomputed:outlines", as: outlines}}
  - semantic_duplicates: {{embedding: embed, clusters: auto, epsilon: 0.03}}
  - score: {{name: similarity, signal: clip_similarity, keep: 0.5}}
  - density: {{embedding: embed, clusters: auto, keep: 0.4}}
  - write: {{format: parquet}}
"""

AGAINST = "random,deduplicated,score,density-hard,prototypes,score:0.5>density,full"
LASTING, BUDGET = "random,deduplicated,score,score:0.5>density,full", "0.2"
"""Of the longer training: what is compared there, and at which size."""

NOISE = 0.4
"""Share of captions that are exchanged for the second figure."""

STUDENT = "words:outlines"
"""It reads nothing that the scorer has made."""

Floats = npt.NDArray[np.float32]


class Read(NamedTuple):
    """All pairs: name, picture as PNG, caption, set, and what the scorer reads of both sides."""

    key: list[str]
    png: list[bytes]
    text: list[str]
    of: npt.NDArray[np.str_]
    picture: Floats
    caption: npt.NDArray[np.int32]


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


def read(icons: Path) -> Read:
    """The pairs of the pool and of what is held out."""
    key: list[str] = []
    pngs: list[bytes] = []
    text: list[str] = []
    for path in [*sorted((icons / "pool").glob("*.tar")), *sorted((icons / "held").glob("*.tar"))]:
        for name, png, caption in members(path):
            key.append(name)
            pngs.append(png)
            text.append(caption)
    of = np.array([name.rpartition("_")[0] for name in key])
    blocks = [pngs[start : start + BLOCK] for start in range(0, len(pngs), BLOCK)]
    picture = np.concatenate(
        [outlines(np.stack([_small(png) for png in block])) for block in blocks]
    )
    return Read(key, pngs, text, of, picture, students.tokens(text))


def _small(png: bytes) -> npt.NDArray[np.uint8]:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX))


def embedded(found: Read, fitting: npt.NDArray[np.bool_], weights: Path) -> Sides:
    """Embeddings of both sides by a student that is trained on the pairs of ``fitting``, and kept as ``weights``."""
    scale = Scale.of(found.picture[fitting])
    every = Sides(scale(found.picture), found.caption)
    scorer = students.of_features(every.take(np.flatnonzero(fitting)), SCORER, 0)
    save(weights, scale, scorer)
    return Sides(scorer.images(every.image), scorer.texts(every.text))


def write_input(folder: Path, found: Read, sides: Sides, rows: npt.NDArray[np.int64]) -> None:
    """The pairs and their embeddings, as a job reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {
        "key": [found.key[row] for row in rows],
        "image": [found.png[row] for row in rows],
        "text": [found.text[row] for row in rows],
        "set": found.of[rows].tolist(),
    }
    pq.write_table(pa.table(columns), folder / "pairs.parquet", row_group_size=BLOCK)
    outlined = Scale.of(found.picture[rows])(found.picture[rows])
    for name, side in (("image", sides.image[rows]), ("text", sides.text[rows])):
        np.save(folder / f"{name}.npy", side.astype(np.float16))
    np.save(folder / "outlines.npy", outlined.astype(np.float16))


def tamis(*arguments: str) -> None:
    """Do a command and print what it prints."""
    print("$ tamis " + " ".join(arguments), flush=True)
    code = "from tamis.jobs.cli.app import main; main()"
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)


def prepared(icons: Path, out: Path) -> list[str]:
    """Do the run over the icons' pairs, and return the sets that are measured on."""
    found = read(icons)
    held = sorted(path.stem for path in (icons / "held").glob("*.tar"))
    scoring = [name for name in set(found.of.tolist()) if name not in held and is_scorers(name)]
    fitting = np.isin(found.of, scoring)
    print(
        f"scorer: {fitting.sum():,} pairs of {len(scoring)} sets; {(~fitting).sum():,} others",
        flush=True,
    )
    out.mkdir(parents=True, exist_ok=True)
    sides = embedded(found, fitting, out / "scorer.npz")
    write_input(out / "in", found, sides, np.flatnonzero(~fitting))
    job = out / "job.yaml"
    job.write_text(JOB.format(folder=out / "in", output=out / "run"))
    tamis("run", str(job), "--progress", "none")
    return held


def evaluated(out: Path, name: str, *options: str) -> Evaluation:
    """What `tamis evaluate` says of the run, kept as ``NAME.json``."""
    tamis("evaluate", str(out / "run"), *options)
    told = (out / "run" / "evaluation.json").read_bytes()
    (out / f"{name}.json").write_bytes(told)
    return Evaluation.model_validate_json(told)


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("icons", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", default="5")
    parser.add_argument("--steps", default="500", help="of the training of both figures")
    parser.add_argument("--long", default="4000", help="of the training that is shown beside them")
    parser.add_argument("--budgets", default="0.1,0.2,0.4")
    parser.add_argument("--student", default=STUDENT, help="as of tamis evaluate")
    args = parser.parse_args(arguments)
    held = prepared(args.icons, args.out)
    asked = ["--holdout-by", f"set={','.join(held)}", "--seeds", args.seeds]
    asked += ["--student", args.student]
    curve = ["--budgets", BUDGET, "--steps", f"{args.steps},{args.long}", "--against", LASTING]
    figures = ["--budgets", args.budgets, "--steps", args.steps, "--against", AGAINST]
    long = evaluated(args.out, "long", *asked, *curve)
    noisy = evaluated(args.out, "noisy", *asked, *figures, "--mismatch", str(NOISE))
    clean = evaluated(args.out, "clean", *asked, *figures)
    (args.out / "index.html").write_bytes(page(clean, noisy, long))
    (args.out / "figure.svg").write_text(figure(clean, noisy))
    print(f"{args.out / 'index.html'}: both figures")


if __name__ == "__main__":
    main()
