"""Trains a small CLIP from scratch on the shards of finished runs, at equal compute, and measures all on one holdout.

    python tests/benchmarks/train_clip.py --holdout 'held/{00000..00001}.tar' \
        chosen=runs/dbp random=runs/random all=runs/all

Without arguments a tiny model takes twenty steps on the example data.
Shards are read by open_clip's own training loader. What of the holdout stands in any run too (the same picture or the
same caption) is not measured on. For a machine with a CUDA GPU; on a CPU a few steps show that it works.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tamis.pipeline.evaluate.measures import ranks
from tamis.pipeline.results.load import shards
from tamis.pipeline.runs import plan, walk
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.parse import parse_job

SIZES = {
    "tiny": {
        "image": 32,
        "patch": 8,
        "width": 64,
        "layers": 2,
        "heads": 2,
        "embed": 64,
        "context": 16,
    },
    "icons": {
        "image": 64,
        "patch": 8,
        "width": 256,
        "layers": 6,
        "heads": 4,
        "embed": 256,
        "context": 16,
    },
    "small": {
        "image": 112,
        "patch": 16,
        "width": 384,
        "layers": 8,
        "heads": 6,
        "embed": 256,
        "context": 32,
    },
}
"""Transformers with CLIP's two towers. `icons` is for drawings of 64 pixels; `small` has 40 million parameters, half of
them the token table."""

PICTURES = ("jpg", "jpeg", "png", "webp")


class Held(NamedTuple):
    """Pairs to measure on: preprocessed pictures (n, 3, side, side) and tokens (n, context)."""

    pictures: Any
    tokens: Any
    left_out: int


def build(size: dict[str, int], seed: int) -> Any:
    """An open_clip model with random weights."""
    import open_clip
    import torch

    torch.manual_seed(seed)
    width = size["width"]
    return open_clip.CLIP(
        embed_dim=size["embed"],
        vision_cfg={
            "image_size": size["image"],
            "patch_size": size["patch"],
            "width": width,
            "layers": size["layers"],
            "head_width": width // size["heads"],
        },
        text_cfg={
            "context_length": size["context"],
            "vocab_size": 49_408,
            "width": width,
            "heads": size["heads"],
            "layers": size["layers"],
        },
    )


def loader(paths: Sequence[str], size: dict[str, int], args: argparse.Namespace, seed: int) -> Any:
    """open_clip's loader over shards, drawn with replacement: any run gives as many batches as are asked for."""
    import open_clip
    import webdataset.tariterators
    from open_clip_train import data

    # webdataset 1 marks the end of every tar, which open_clip 3.3 does not expect: it stops on any tar whatever.
    unmarked = partial(webdataset.tariterators.tar_file_expander, eof_value=None)
    data.tar_file_expander = unmarked
    asked = argparse.Namespace(
        train_data="::".join(paths),
        train_data_upsampling_factors=None,
        train_num_samples=args.steps * args.batch,
        dataset_resampled=True,
        batch_size=args.batch,
        workers=args.workers,
        world_size=1,
        seed=seed,
    )
    transform = open_clip.image_transform(size["image"], is_train=True)
    tokenizer = open_clip.get_tokenizer("ViT-B-32", context_length=size["context"])
    return data.get_wds_dataset(asked, transform, is_train=True, tokenizer=tokenizer).dataloader


def train(model: Any, loaded: Any, steps: int, rate: float, device: str) -> list[float]:
    """CLIP's loss for so many steps: AdamW, a tenth of them warming up, then a cosine. The loss a step."""
    import torch
    from open_clip.loss import ClipLoss

    model.to(device).train()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.2}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-6)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps)),
    )
    loss_of, losses = ClipLoss(), []
    for pictures, texts in islice(loaded, steps):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            image, text, scale = model(pictures.to(device), texts.to(device))
            loss = loss_of(image, text, scale)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(float(loss.detach()))
    return losses


def held_out(paths: Sequence[str], trained: Iterable[str], size: dict[str, int]) -> Held:
    """The holdout's pairs, no picture and no caption twice, and none that stands in the shards of ``trained``."""
    import open_clip
    import torch

    seen: set[str] = set()
    for picture, caption in pairs_of(trained):
        seen |= names_of(picture, caption)
    transform = open_clip.image_transform(size["image"], is_train=False)
    tokenizer = open_clip.get_tokenizer("ViT-B-32", context_length=size["context"])
    pictures, captions, left_out = [], [], 0
    for picture, caption in pairs_of(paths):
        names = names_of(picture, caption)
        if seen & names:
            left_out += 1
            continue
        seen |= names
        pictures.append(transform(_opened(picture)))
        captions.append(caption)
    if not pictures:
        raise SystemExit(f"--holdout: all of its {left_out:,} pairs stand in the runs too")
    return Held(torch.stack(pictures), tokenizer(captions), left_out)


def names_of(picture: bytes, caption: str) -> set[str]:
    """What may stand on one side only."""
    return {hashlib.sha256(picture).hexdigest(), " ".join(caption.lower().split())}


def pairs_of(paths: Iterable[str]) -> Iterator[tuple[bytes, str]]:
    """(picture's bytes, caption) of every pair in webdataset tars."""
    import webdataset

    for sample in webdataset.WebDataset(list(paths), shardshuffle=False):
        picture = next((sample[kind] for kind in PICTURES if kind in sample), None)
        if picture is not None and "txt" in sample:
            yield picture, sample["txt"].decode()


def _opened(data: bytes) -> Any:
    return Image.open(io.BytesIO(data)).convert("RGB")


def measure(model: Any, held: Held, device: str, block: int = 256) -> dict[str, float]:
    """R@1, R@10 and median rank, the mean of both directions."""
    import torch

    model.eval()
    with torch.inference_mode():
        image, text = (
            np.concatenate(
                [
                    encode(rows[start : start + block].to(device), normalize=True)
                    .float()
                    .cpu()
                    .numpy()
                    for start in range(0, len(rows), block)
                ]
            )
            for encode, rows in (
                (model.encode_image, held.pictures),
                (model.encode_text, held.tokens),
            )
        )
    both = np.concatenate([ranks(image, text), ranks(text, image)])
    return {
        "recall_at_1": float((both <= 1).mean()),
        "recall_at_10": float((both <= 10).mean()),
        "median_rank": float(np.median(both)),
    }


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Every run with every seed: the same model, steps and batch."""
    import torch
    from webdataset.shardlists import expand_urls

    size = SIZES[args.size]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    runs = {name: shards(path) for name, path in (given.split("=", 1) for given in args.runs)}
    held = held_out(
        expand_urls(args.holdout), (path for paths in runs.values() for path in paths), size
    )
    found: dict[str, Any] = {
        "device": device,
        "steps": args.steps,
        "batch": args.batch,
        "held_out": len(held.pictures),
        "left_out": held.left_out,
        "runs": {},
    }
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    # Seed by seed: what is there when somebody has waited enough compares all runs.
    for seed, (name, paths) in product(range(args.seeds), runs.items()):
        began = time.perf_counter()
        model = build(size, seed)
        losses = train(model, loader(paths, size, args, seed), args.steps, args.rate, device)
        one = {**measure(model, held, device), "first_loss": losses[0], "last_loss": losses[-1]}
        figures[name].append(one)
        told = ", ".join(f"{metric} {value:.4f}" for metric, value in one.items())
        seconds = time.perf_counter() - began
        print(f"seed {seed}, {name}: {told}; {seconds:.0f} s", file=sys.stderr, flush=True)
    for name, measured in figures.items():
        found["runs"][name] = {
            metric: {
                "values": [one[metric] for one in measured],
                "mean": statistics.fmean(one[metric] for one in measured),
            }
            for metric in measured[0]
        }
    return found


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", metavar="NAME=RUN", help="finished runs with shards")
    parser.add_argument("--holdout", help="webdataset tars, with brace ranges")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parsed = parser.parse_args(given)
    for named in parsed.runs:
        if "=" not in named:
            parser.error(f"{named}: name it: chosen=runs/dbp")
    if parsed.runs and parsed.holdout is None:
        parser.error("--holdout is missing: tars that the runs have not read")
    return parsed


def example(folder: Path) -> list[str]:
    """The command line of a look at the example data: all of three tars, and the same without copies of pictures."""
    data = Path(__file__).resolve().parents[2] / "jobs" / "examples" / "clipart"
    runs = []
    for name, steps in (("all", ""), ("distinct", "- exact_duplicates\n")):
        job = (
            f"name: {name}\noutput: {folder}/{name}\n"
            f"input: [{{path: '{data}/{{00000..00002}}.tar'}}]\nsteps:\n{steps}- write\n"
        )
        made = plan.make(parse_job(job, name))
        walk.run(made, executor=Here(made.root))
        runs.append(f"{name}={made.root}")
    small = ["--size", "tiny", "--steps", "20", "--batch", "32", "--seeds", "1", "--workers", "0"]
    return [*runs, "--holdout", f"{data}/00003.tar", *small]


if __name__ == "__main__":
    ensure_torchvision()
    asked = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        print(
            json.dumps(
                compare(asked if asked.runs else arguments(example(Path(scratch)))), indent=1
            )
        )
