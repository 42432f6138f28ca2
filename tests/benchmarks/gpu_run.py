"""Whole runs with a GPU: bytes beside those of other workers, and what is kept beside what processors keep.

    PYTHONPATH=. python -m tests.benchmarks.gpu_run IN OUT

IN is the folder `in` of the showcase: pairs, and a scorer's embeddings of them. Pictures and captions are embedded by
ViT-B/32 of random weights, in bf16; the scorer's embeddings are clustered, compared and chosen from. Three runs without
Ray: one worker on the GPU; four that share it, each with a quarter of its memory; and the steps behind the embedding
on processors. Without a CUDA device processors do all three, and nothing is embedded: that shows that the code runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from tests.benchmarks.gpu import FULL, NONE, checkpoint
from tests.benchmarks.showcase import tamis
from tests.benchmarks.start import RESULT
from tests.support.running import contents

JOB = """\
name: gpu
input:
  - path: {folder}/pairs.parquet
    image_embeddings: {folder}/image.npy
    text_embeddings: {folder}/text.npy
output: {output}
part_samples: 2000
resources: {{gpus: {gpus}}}
steps:
  - exact_duplicates: {{on: pixels}}
{encoded}  - embed: {{encoder: precomputed}}
  - semantic_duplicates: {{embedding: embed, clusters: auto, epsilon: 0.03, device: {device}}}
  - density: {{embedding: embed, clusters: auto, keep: 0.4, device: {device}}}
  - write: {{format: parquet}}
"""

ENCODED = """\
  - embed: {{name: clip, encoder: "{name}", as: clip, precision: bf16, device: cuda}}
"""


class Asked(NamedTuple):
    """A run: the share of the GPU that each worker holds, and where vectors are compared."""

    name: str
    gpus: float
    device: str


RUNS = (
    Asked("one worker", 1, "cuda"),
    Asked("four workers", 0.25, "cuda"),
    Asked("processors", 0, "cpu"),
)


def run(asked: Asked, folder: Path, out: Path, encoder: str) -> tuple[Path, float]:
    """The finished run, and its wall seconds."""
    output = out / asked.name.replace(" ", "-")
    encoded = ENCODED.format(name=encoder) if encoder else ""
    told = {"folder": folder, "output": output, "gpus": asked.gpus, "device": asked.device}
    job = output.with_suffix(".yaml")
    job.write_text(JOB.format(**told, encoded=encoded))
    began = time.perf_counter()
    tamis("run", str(job), "--local", "--progress", "none")
    return output, time.perf_counter() - began


def beside(first: Path, other: Path) -> str:
    """What of the second run is other than in the first: files by name, or samples that one of them keeps."""
    differ = [name for name in RESULT if contents(first / name) != contents(other / name)]
    kept, also = (set(np.load(path / "subset.npy").tolist()) for path in (first, other))
    files = f"{', '.join(differ)} differ" if differ else "the same bytes"
    return (
        f"{files}; {len(kept):,} and {len(also):,} kept, {len(kept ^ also):,} by one of them alone"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    gpu = torch.cuda.is_available()
    encoder = checkpoint(FULL.models[0], str(args.out)) if gpu else ""
    runs = RUNS if gpu else [asked._replace(gpus=0, device="cpu") for asked in RUNS]
    done = []
    for asked in runs:
        used = encoder if asked.device == "cuda" else ""
        done.append((asked.name, *run(asked, args.folder, args.out, used)))
    first = done[0][1]
    for name, path, seconds in done:
        told = "" if path == first else f"; beside the first: {beside(first, path)}"
        print(f"{name}: {seconds:.1f} s{told}", flush=True)
    if not gpu:
        print(NONE)


if __name__ == "__main__":
    main()
