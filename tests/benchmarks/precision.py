"""How far precision and decoder move embeddings from the reference: open_clip's own transform, and fp32.

Pictures are the example's clip art, and the same re-encoded as JPEG with a shorter side of 640 pixels. A default has
to stay within a cosine of 0.999 on average and 0.99 at worst. Of the decoder ``shrink`` also what it saves: decoding
and preprocessing of those JPEGs, by processor time.

    PYTHONPATH=. python tests/benchmarks/precision.py --pictures 64
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline import encoders
from pipeline.encoders.base import Precision
from pipeline.encoders.towers import Towers
from pipeline.formats.images import MAX_PIXELS, to_rgb
from pipeline.steps.decoding import pixels
from tests.benchmarks._steps import EXAMPLES, members
from tests.benchmarks._table import Row, faster, race, show
from tests.benchmarks.embed import transform_of

SIDE = 640


def as_jpeg(data: bytes) -> bytes:
    """The picture enlarged to a shorter side of SIDE, as JPEG."""
    image = to_rgb(data)
    grown = SIDE / min(image.size)
    size = (round(image.width * grown), round(image.height * grown))
    out = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def cosines(pictures: Sequence[bytes], precision: Precision, shrink: bool) -> NDArray[np.float64]:
    """Of each picture's embedding and its reference."""
    plain, other = encoders.load("demo"), encoders.load("demo", "cpu", precision)
    assert isinstance(plain, Towers)
    transform = transform_of(plain)
    found = []
    for start in range(0, len(pictures), 16):
        some = pictures[start : start + 16]
        reference = torch.stack([transform(to_rgb(data)) for data in some])
        with torch.inference_mode():
            theirs = torch.nn.functional.normalize(plain._image_tower(reference), dim=-1).numpy()
        cut = pixels(some, plain._preprocessing, MAX_PIXELS, shrink)
        (ours,) = other.encode_images([cut], len(cut))
        found.append(np.einsum("ij,ij->i", theirs, ours, dtype=np.float64))
    return np.concatenate(found)


WAYS: tuple[tuple[Precision, bool], ...] = (("fp32", False), ("bf16", False), ("fp32", True))


def measure(name: str, pictures: Sequence[bytes]) -> Iterator[Row]:
    """Mean and worst for each precision of the CPU, and for the decoder that shrinks."""
    for precision, shrink in WAYS:
        found = cosines(pictures, precision, shrink)
        way = f"{name}, {precision}{', shrink' if shrink else ''}"
        for what, value, goal in (
            ("mean", found.mean(), ">= 0.999"),
            ("worst", found.min(), ">= 0.99"),
        ):
            yield Row(f"{way}: {what}", "", float(value), None, "cosine", None, goal=goal)


def saved(jpegs: Sequence[bytes]) -> Row:
    """Pictures a second by one thread, decoded at a fraction and in full."""
    known = encoders.describe("demo").preprocessing
    assert known is not None
    works = {
        way: lambda way=way: known.normalise(pixels(jpegs, known, MAX_PIXELS, way == "shrink"))
        for way in ("shrink", "full")
    }
    seconds = race(works, 5)
    what = f"JPEGs of {SIDE} pixels to tensors: shrink"
    return faster(what, "full", len(jpegs), "pictures/CPU s", seconds["shrink"], seconds["full"])


def main() -> None:
    """One table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pictures", type=int, default=64)
    given = options.parse_args()
    found = members(sorted(EXAMPLES.glob("*.tar")))
    pictures = [data for name, data in found if name.endswith(".png")][:: 905 // given.pictures]
    pictures = pictures[: given.pictures]
    rows = [*measure("clip art", pictures)]
    jpegs = [as_jpeg(data) for data in pictures]
    rows += [*measure(f"as JPEG, {SIDE} pixels", jpegs), saved(jpegs)]
    show(f"embeddings and precision, the encoder demo, {len(pictures)} pictures", rows)


if __name__ == "__main__":
    main()
