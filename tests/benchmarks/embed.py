"""The embed step beside what it cannot do without: the bare model on ready tensors, and decoding.

The step is its task over one tar, as the engine does it, from ranges of bytes to a table of vectors. The floor is a
straight loop over the same pictures and distinct captions: Pillow's decoder, white below what is transparent, and
open_clip's own transform; and then, as ready tensors, the towers with nothing around them, in the best of several
batch sizes: once open_clip's, once the encoder's, which are the same model with batch norms folded and texts no wider
than they are. All run on one thread, for a run has a worker a processor; figures are by seconds of processor time.
ViT-B/32 has random weights.

    PYTHONPATH=. python tests/benchmarks/embed.py --pairs 256 --encoders demo ViT-B-32
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tamis.pipeline import encoders
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tamis.pipeline.encoders.towers import Towers
from tests.benchmarks._steps import EXAMPLES, Member, recorded, samples, write_tar
from tests.benchmarks._table import Row, faster, race, show
from tests.support.encoded import open_clip_demo

BATCHES = (1, 2, 4, 32)

JOB = """
name: speed
input: [{{path: '{folder}/pairs.tar'}}]
output: {folder}/{model}
steps:
  - embed: {{encoder: '{encoder}'}}
"""


class Floor:
    """What any program that embeds these pairs with this model has to do, and no more."""

    def __init__(self, encoder: Towers, whole: Any, pairs: list[list[Member]]) -> None:
        named = [{name.rpartition(".")[2]: data for name, data in pair} for pair in pairs]
        self.pictures = [pair["png"] for pair in named]
        self.transform = transform_of(encoder)
        captions = list(dict.fromkeys(pair["txt"].decode() for pair in named))
        assert encoder._tokenizer is not None
        assert encoder._text_tower is not None
        tokens = encoder._tokenizer(captions)
        tensors = torch.stack(self.decode()).contiguous(memory_format=torch.channels_last)
        self.theirs = [Ready(whole.encode_image, tensors), Ready(whole.encode_text, tokens)]
        self.ours = [Ready(encoder._image_tower, tensors)] + [
            Ready(encoder._text_tower, tokens[torch.from_numpy(rows), :width])
            for width, rows in encoder._by_width(tokens)
        ]

    def decode(self) -> list[torch.Tensor]:
        """Every picture: its bytes to a tensor."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of palettes with transparency
            return [self.transform(_on_white(data)) for data in self.pictures]


class Ready:
    """A tower over tensors that are ready, in the batch size of the least processor time."""

    def __init__(self, tower: Any, tensors: torch.Tensor) -> None:
        self.tower, self.tensors = tower, tensors
        seconds = {}
        for self.size in BATCHES:
            self.all(tensors[:32])
            began = time.process_time()
            self.all(tensors[:32])
            seconds[self.size] = time.process_time() - began
        self.size = min(seconds, key=lambda size: seconds[size])

    def all(self, tensors: torch.Tensor | None = None) -> None:
        """Every batch of them."""
        with torch.inference_mode():
            for piece in (self.tensors if tensors is None else tensors).split(self.size):
                self.tower(piece)


def _on_white(data: bytes) -> Image.Image:
    """As RGB by Pillow's shortest way; most of the clip art is transparent, and black lies below."""
    image: Image.Image = Image.open(io.BytesIO(data))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def transform_of(encoder: Towers) -> Any:
    """open_clip's own, with the values of the encoder."""
    ensure_torchvision()
    from open_clip.transform import PreprocessCfg, image_transform_v2

    known = encoder._preprocessing
    return image_transform_v2(
        PreprocessCfg(
            size=known.size,
            mean=known.mean,
            std=known.std,
            interpolation=known.interpolation,
            resize_mode=known.mode,
            fill_color=known.fill[0],
        ),
        is_train=False,
    )


def spec(model: str, folder: Path) -> str:
    """The encoder's name; a model of open_clip is given random weights."""
    if model == "demo":
        return model
    from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip

    torch.manual_seed(0)
    torch.save(open_clip.create_model(model).state_dict(), folder / f"{model}.pt")
    return f"open_clip:{model}/{folder / model}.pt"


def through(towers: Sequence[Ready]) -> None:
    """One after another."""
    for ready in towers:
        ready.all()


def bare(model: str, folder: Path) -> Any:
    """open_clip's own model, as it makes it."""
    if model == "demo":
        return open_clip_demo()
    import open_clip

    return open_clip.create_model(model, pretrained=str(folder / f"{model}.pt")).eval()


def measure(model: str, folder: Path, pairs: list[list[Member]], rounds: int) -> Iterator[Row]:
    """A row beside open_clip's own loop, and one beside the encoder's own towers."""
    encoder = spec(model, folder)
    done = recorded(JOB.format(folder=folder, model=model, encoder=encoder))
    torch.set_num_threads(1)
    loaded = encoders.load(encoder)
    assert isinstance(loaded, Towers)
    floor = Floor(loaded, bare(model, folder), pairs)
    works: dict[str, Callable[[], object]] = {
        "step": lambda: done.again("embed/vectors"),
        "decode": floor.decode,
        "theirs": partial(through, floor.theirs),
        "ours": partial(through, floor.ours),
    }
    seconds = race(works, rounds)
    count, unit = len(pairs), "pairs/CPU s"
    for name, which in (("open_clip's", "theirs"), ("the encoder's", "ours")):
        both = [sum(pair) for pair in zip(seconds["decode"], seconds[which], strict=True)]
        yield faster(
            model, f"{name} towers + decode", count, unit, seconds["step"], both, ">= 0.97"
        )
    share = np.median(seconds["decode"]) / np.median(both)
    sizes = [[ready.size for ready in towers] for towers in (floor.theirs, floor.ours)]
    print(f"{model}: best batches {sizes}; decoding is {share:.0%} of the encoder's floor")


def main() -> None:
    """A table of all encoders asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=160)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--encoders", nargs="+", default=["demo", "ViT-B-32"])
    given = options.parse_args()
    pairs = samples(sorted(EXAMPLES.glob("*.tar")))[: given.pairs]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tamis-embed-") as name:
        folder = Path(name)
        write_tar(folder / "pairs.tar", [member for pair in pairs for member in pair])
        for model in given.encoders:
            rows += measure(model, folder, pairs, given.rounds)
    show(f"embed, {len(pairs)} pairs, one thread", rows)


if __name__ == "__main__":
    main()
