"""How far precision and decoder move embeddings from the reference: open_clip's own transform and model, in fp32.

Pictures are the example's clip art, and the same re-encoded as JPEG with a shorter side of 640 pixels. A default has
to stay within a cosine of 0.999 on average and 0.99 at worst. ViT-B/32 has random weights. Captions have no decoder; of
the pictures' decoder ``shrink`` also what it saves: decoding and preprocessing of those JPEGs, by processor time.

    PYTHONPATH=. python tests/benchmarks/precision.py --pictures 64
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import normalize

from tamis.pipeline import encoders
from tamis.pipeline.encoders.base import Precision
from tamis.pipeline.encoders.towers import Towers
from tamis.pipeline.inputs.images import MAX_PIXELS, to_rgb
from tamis.pipeline.steps.embed.decoding import pixels
from tests.benchmarks._steps import EXAMPLES, samples
from tests.benchmarks._table import Row, faster, race, show
from tests.benchmarks.embed import bare, spec, transform_of

Floats = NDArray[np.float32]

SIDE = 640


def as_jpeg(data: bytes) -> bytes:
    """The picture enlarged to a shorter side of SIDE, as JPEG."""
    image = to_rgb(data)
    grown = SIDE / min(image.size)
    size = (round(image.width * grown), round(image.height * grown))
    out = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


class Reference:
    """open_clip's own transform and model in fp32, and the pictures and captions through them."""

    def __init__(self, model: str, folder: Path) -> None:
        self.encoder = spec(model, folder)
        plain = encoders.load(self.encoder)
        assert isinstance(plain, Towers)
        self.preprocessing, self._tokenizer = plain._preprocessing, plain._tokenizer
        self._transform, self._model = transform_of(plain), bare(model, folder)

    def pictures(self, pictures: Sequence[bytes]) -> Floats:
        """Unit vectors of them."""
        return self._unit(
            self._model.encode_image(torch.stack([self._transform(to_rgb(data)) for data in some]))
            for some in batches(pictures)
        )

    def texts(self, texts: Sequence[str]) -> Floats:
        """The same of captions."""
        assert self._tokenizer is not None
        tokenizer = self._tokenizer
        return self._unit(self._model.encode_text(tokenizer([*some])) for some in batches(texts))

    def _unit(self, parts: Iterator[torch.Tensor]) -> Floats:
        with torch.inference_mode():
            return np.concatenate([normalize(part, dim=-1).numpy() for part in parts])


def batches(given: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Sixteen at a time."""
    for start in range(0, len(given), 16):
        yield given[start : start + 16]


WAYS: tuple[tuple[Precision, bool], ...] = (("fp32", False), ("bf16", False), ("fp32", True))


def measure(
    model: str, kinds: Mapping[str, Sequence[bytes]], texts: Sequence[str], folder: Path
) -> Iterator[Row]:
    """Mean and worst for each precision of the CPU, and for the decoder that shrinks."""
    reference = Reference(model, folder)
    expected = {name: reference.pictures(pictures) for name, pictures in kinds.items()}
    of_texts = reference.texts(texts)
    for precision, shrink in WAYS:
        encoder = encoders.load(reference.encoder, "cpu", precision)
        way = f"{precision}{', shrink' if shrink else ''}"
        for name, pictures in kinds.items():
            cut = pixels(pictures, reference.preprocessing, MAX_PIXELS, shrink)
            found = np.concatenate([*encoder.encode_images([cut], len(cut))])
            yield from facts(f"{model}, {name}, {way}", expected[name], found)
        if not shrink:
            yield from facts(f"{model}, captions, {way}", of_texts, encoder.encode_texts([*texts]))


def facts(what: str, expected: Floats, found: Floats) -> Iterator[Row]:
    """Of the cosines of each two."""
    cosine = np.einsum("ij,ij->i", expected, found, dtype=np.float64)
    for name, value, goal in (
        ("mean", cosine.mean(), ">= 0.999"),
        ("worst", cosine.min(), ">= 0.99"),
    ):
        yield Row(f"{what}: {name}", "", float(value), None, "cosine", None, goal=goal)


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
    options.add_argument("--encoders", nargs="+", default=["demo", "ViT-B-32"])
    given = options.parse_args()
    pairs = samples(sorted(EXAMPLES.glob("*.tar")))
    pairs = pairs[:: -(-len(pairs) // given.pictures)]
    named = [{name.rpartition(".")[2]: data for name, data in pair} for pair in pairs]
    pictures, texts = [pair["png"] for pair in named], [pair["txt"].decode() for pair in named]
    jpegs = [as_jpeg(data) for data in pictures]
    kinds = {"clip art": pictures, f"as JPEG of {SIDE} pixels": jpegs}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tamis-precision-") as folder:
        for model in given.encoders:
            rows += measure(model, kinds, texts, Path(folder))
    rows.append(saved(jpegs))
    show(f"embeddings beside open_clip's in fp32, {len(pictures)} pairs", rows)


if __name__ == "__main__":
    main()
