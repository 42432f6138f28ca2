"""A finished run over any number of synthetic samples: metadata and embeddings of 16 dimensions, no pictures.

The input is drawn a file at a time; the run itself is a real one, its tasks done by a few processes without Ray. It
takes about 80 CPU microseconds and 0.7 kB of disk a sample. The same call goes on with a run that was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.runs import plan
from tamis.pipeline.runs import walk as run
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.perform import Here, Outcome, Work
from tamis.pipeline.tasks.phase import Listed, Phase
from tamis.schemas.events import Event, StepEnded
from tamis.schemas.parse import parse_job

FILE_ROWS = 250_000
DIM = 16
TOPICS = 400
WORDS = 20_000
CAPTION = 6
COPIES = 0.02

JOB = """
name: synthetic
input:
  - path: '{folder}/in/*.parquet'
    image_embeddings: '{folder}/in/img_*.npy'
    text_embeddings: '{folder}/in/txt_*.npy'
output: {folder}/run
steps:
  - signals: [words, characters]
  - rules: {{words: {{min: 2}}, characters: {{min: 24}}}}
  - exact_duplicates: {{on: url_text}}
  - embed: {{encoder: precomputed}}
  - rules: {{name: similarity, clip_similarity: {{min: 0.85}}}}
  - semantic_duplicates: {{clusters: {clusters}, epsilon: 0.05}}
  - rules: {{name: late, characters: {{min: 28}}}}
  - density: {{clusters: 500, keep: 0.4}}
  - write: {{format: parquet}}
"""


def write_file(folder: Path, number: int, rows: int) -> None:
    """``rows`` samples: uid, url and caption, and the embeddings of both; a few are copies of others."""
    draw = np.random.default_rng([7, number])
    words = vocabulary()
    text = words[draw.integers(0, WORDS, rows)]
    for _ in range(CAPTION - 1):
        text = np.strings.add(np.strings.add(text, " "), words[draw.integers(0, WORDS, rows)])
    place = np.arange(number * FILE_ROWS, number * FILE_ROWS + rows)
    origin = np.where(draw.random(rows) < COPIES, draw.integers(0, rows, rows), np.arange(rows))
    url = np.strings.add("https://example.org/", place.astype("U"))
    digits = pa.py_buffer(draw.bytes(16 * rows).hex().encode())
    offsets = pa.py_buffer(np.arange(0, 32 * rows + 1, 32, dtype=np.int32))
    uid = pa.Array.from_buffers(pa.string(), rows, [None, offsets, digits])
    table = pa.table({"uid": uid, "url": url[origin], "text": text[origin]})
    pq.write_table(table, folder / f"{number:05d}.parquet")
    centres = np.random.default_rng(7).standard_normal((TOPICS, DIM), dtype=np.float32)
    image = centres[draw.integers(0, TOPICS, rows)] + noise(draw, rows)
    np.save(folder / f"img_{number:05d}.npy", image.astype(np.float16))
    np.save(folder / f"txt_{number:05d}.npy", (image + noise(draw, rows)).astype(np.float16))


def vocabulary() -> npt.NDArray[np.str_]:
    """WORDS words of two to ten letters."""
    draw = np.random.default_rng(8)
    letters = draw.choice(list("etaoinshrdlu"), (WORDS, 10))
    lengths = draw.integers(2, 11, WORDS)
    return np.array(["".join(row[:n]) for row, n in zip(letters, lengths, strict=True)])


def noise(draw: np.random.Generator, rows: int) -> npt.NDArray[np.float32]:
    """Half as wide as the topics lie apart."""
    return draw.standard_normal((rows, DIM), dtype=np.float32) * np.float32(0.5)


class Pool:
    """An executor: tasks done by ``processes`` of their own, each as ``Here`` does it."""

    def __init__(self, root: str, processes: int) -> None:
        self._root = root
        self._pool = ProcessPoolExecutor(processes, get_context("spawn"))

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """Outcomes as they come."""
        bare = replace(phase, tasks=Listed([]))
        for done in as_completed([self._pool.submit(do, self._root, bare, w) for w in works]):
            yield done.result()

    def stop(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


def do(root: str, phase: Phase[Any], work: Work) -> Outcome:
    """One task. The run can be made again, so nothing waits for the disk."""
    with storage.without_sync():
        (outcome,) = Here(root).run(phase, [work])
    return outcome


def told(event: Event) -> None:
    """Print a line a step."""
    if isinstance(event, StepEnded):
        print(f"  {event.step}: {event.entered:,} in, {event.seconds:,.0f} s", flush=True)


def make(folder: Path, rows: int, processes: int) -> Path:
    """The run over ``rows`` samples in ``folder``/run, made unless it is there."""
    made = folder / "run"
    if (made / "manifest.json").exists():
        return made
    (folder / "in").mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        if not (folder / "in" / f"txt_{number:05d}.npy").exists():
            write_file(folder / "in", number, min(FILE_ROWS, rows - start))
    job = parse_job(JOB.format(folder=folder, clusters=max(20, rows // 5000)), "synthetic")
    run.run(plan.make(job), [told], executor=Pool(str(made), processes))
    return made


def main() -> None:
    """Make it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--processes", type=int, default=2)
    given = options.parse_args()
    print(make(given.folder, given.rows, given.processes))


if __name__ == "__main__":
    main()
