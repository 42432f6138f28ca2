"""Whether a chosen fifth trains a better CLIP from pixels than a random fifth, and than all: of icons.

    PYTHONPATH=. python -m tests.benchmarks.make_icons ICONS --most 96000
    PYTHONPATH=. python -m tests.benchmarks.showcase ICONS SHOW
    PYTHONPATH=. python -m tests.benchmarks.train_icons ICONS SHOW OUT

The pool is drawn from SHOW/in as `small_pool` draws it. ``OUT/chosen`` is what the chain of preset `dbp` keeps of it
by the showcase's scorer, ``OUT/random`` as many by lot, ``OUT/all`` the pool, each written as webdataset. `train_clip`
then trains transformers from nothing on the shards, for each run as many steps of as many pairs, and measures on sets
that stand under ICONS/held: on processors tiny ones of 32 pixels; with a GPU, `--size icons --batch 512 --workers 12`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tamis.pipeline.audit.reading.paired import paired
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tests.benchmarks import train_clip
from tests.benchmarks.showcase import tamis
from tests.benchmarks.small_pool import Case, Showcase

JOB = """\
name: {name}
input:
  - path: {folder}/pairs.parquet
    columns: {{uid: uid}}
    image_embeddings: {folder}/image.npy
    text_embeddings: {folder}/text.npy
output: {output}
steps:
{steps}  - write: {{samples_per_shard: 1000}}
"""

STEPS = {
    "chosen": """\
  - embed: {{encoder: precomputed}}
  - score: {{name: similarity, signal: clip_similarity, keep: 0.5}}
  - semantic_duplicates: {{clusters: auto, epsilon: 0.03}}
  - density: {{clusters: auto, keep: {count}}}
""",
    "random": "  - random: {{keep: {count}}}\n",
    "all": "",
}
"""Name of a run -> what it does before it writes, ``count`` being a fifth of the pool."""

HELD = "iconoir,heroicons,healthicons"


def runs(show: Showcase, out: Path) -> dict[str, Path]:
    """The three runs."""
    folder, count = out / "in", len(show.pool) // 5
    if not folder.exists():
        show.write(folder, Case("all", "all", show.pool, show.pool))
    made = {name: out / name for name in STEPS}
    for name, steps in STEPS.items():
        job = out / f"{name}.yaml"
        told = {"name": name, "folder": folder, "output": made[name]}
        job.write_text(JOB.format(**told, steps=steps.format(count=count)))
        tamis("run", str(job), "--local", "--progress", "none")
    return made


def table(found: dict[str, Any]) -> list[str]:
    """Each run's R@10 as a line of Markdown, beside the random fifth's."""
    base = found["runs"]["random"]["recall_at_10"]
    lines = ["| trained on | R@10 | difference | p | loss at the end |", "|---|---|---|---|---|"]
    for name, measured in found["runs"].items():
        recall, difference, p = measured["recall_at_10"], "", ""
        if recall is not base:
            difference = f"{recall['mean'] - base['mean']:+.4f}"
            chance = paired(recall["values"], base["values"])
            p = "" if chance is None else f"{chance:.3f}"
        spread = np.std(recall["values"], ddof=1) if len(recall["values"]) > 1 else 0.0
        shown, loss = f"{recall['mean']:.4f} ± {spread:.4f}", measured["last_loss"]["mean"]
        lines.append(f"| {name} | {shown} | {difference} | {p} | {loss:.2f} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("icons", type=Path)
    parser.add_argument("show", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=30_000, help="of the pool")
    parser.add_argument("--held", default=HELD, help="sets that are measured on")
    parser.add_argument("--steps", default="500")
    parser.add_argument("--batch", default="128")
    parser.add_argument("--seeds", default="3")
    parser.add_argument("--size", default="tiny", help="as of train_clip")
    parser.add_argument("--workers", default="0", help="processes that decode")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    made = runs(Showcase(args.show / "in", args.pairs), args.out)
    named = [f"{name}={path}" for name, path in made.items()]
    held = "::".join(f"{args.icons}/held/{name}.tar" for name in args.held.split(","))
    asked = ["--size", args.size, "--workers", args.workers, "--rate", "1e-3", "--holdout", held]
    asked += ["--steps", args.steps, "--batch", args.batch, "--seeds", args.seeds]
    ensure_torchvision()
    found = train_clip.compare(train_clip.arguments([*named, *asked]))
    told = {name: value for name, value in found.items() if name != "runs"}
    print("\n".join([str(told), *table(found)]), flush=True)


if __name__ == "__main__":
    main()
