"""What a GPU does of what it can: images a second, and GFLOP/s of clusters and semantic duplicates. For a bare machine.

    pip install torch open_clip_torch numpy scipy threadpoolctl pyarrow xxhash faiss-cpu pydantic zlib-ng simplejpeg
    make names; PYTHONPATH=build/names:. python tests/benchmarks/gpu.py [products] [ViT-B-32] [ViT-L-14]

With faiss-gpu instead of faiss-cpu (never both) faiss's own search on the GPU stands beside ours.

- *images*: the encoder as a worker holds it, from preprocessed batches in memory to unit vectors in memory, for
  ViT-B/32 and ViT-L/14 in bf16 with random weights; beside the model alone on resident tensors, captured as a CUDA
  graph, and beside what the processors here decode (JPEGs of 640 x 480, all cores). Captions likewise, beside the
  captured model with tokens as wide as it takes them.
- *precision*: the cosines of bf16's and fp16's vectors to fp32's, on the device.
- *products*: assignment to centroids, iterations of k-means, and semantic duplicates of one cluster, by the functions
  that workers call; beside the rate of a large matrix product in fp32. Results are held against the processors'.

Without a CUDA device nothing is measured: a tiny model and tiny products show that the code runs.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tamis.pipeline import encoders
from tamis.pipeline.algorithms.clusters import gpu as on_gpu
from tamis.pipeline.algorithms.clusters import kmeans, semantic
from tamis.pipeline.encoders.base import Precision
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tamis.pipeline.encoders.towers import Towers
from tamis.pipeline.host import devices
from tamis.pipeline.inputs.images import to_rgb
from tests.benchmarks._table import Row, faster, race, show

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]

PART = 10_000
"""Rows of a part, as workers get them."""

PEAK, COMPARE, IN_MEMORY = "peak", "semantic duplicates", "assign, parts in memory"

NONE = "no CUDA device: not measured"


@dataclass(frozen=True)
class Sizes:
    """Of one run of the script."""

    models: tuple[str, ...]
    precision: Precision
    batch: int
    batches: int
    rows: int
    clusters: int
    dimensions: int
    square: int
    members: int  # of the cluster that is compared
    few: int  # rows of which results are compared
    pictures: int
    captions: int
    rounds: int


FULL = Sizes(
    ("ViT-B-32", "ViT-L-14"),
    "bf16",
    256,
    20,
    200_000,
    8_192,
    768,
    16_384,
    65_536,
    20_000,
    2_000,
    8_192,
    5,
)
TINY = Sizes(("tamis-tiny",), "fp32", 2, 1, 300, 7, 16, 64, 250, 300, 4, 5, 1)

TINY_MODEL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def clock() -> float:
    """Wall seconds, once the device is through."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def captured(work: Callable[[], object]) -> Callable[[], object]:
    """The work as a CUDA graph; without a GPU as it is."""
    if not torch.cuda.is_available():
        return work
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def checkpoint(model: str, folder: str) -> str:
    """The encoder's name, with random weights in a file."""
    ensure_torchvision()
    import open_clip

    if model in TINY.models:
        Path(folder, f"{model}.json").write_text(json.dumps(TINY_MODEL))
        open_clip.add_model_config(Path(folder, f"{model}.json"))
    path = Path(folder, "random.pt")
    torch.manual_seed(0)
    torch.save(open_clip.create_model(model).state_dict(), path)
    return f"open_clip:{model}/{path}"


def loaded(name: str, device: str, precision: Precision) -> Towers:
    """The encoder as a worker holds it."""
    encoder = encoders.load(name, device, precision)
    assert isinstance(encoder, Towers)
    return encoder


def model_rows(device: str, model: str, sizes: Sizes, decoded: float) -> list[Row]:
    """All that is measured of one model."""
    with tempfile.TemporaryDirectory() as folder:
        name = checkpoint(model, folder)
        encoder = loaded(name, device, sizes.precision)
        rows = images(device, encoder, f"{model}, {sizes.precision}", sizes, decoded)
        rows.append(texts(device, encoder, f"{model}, {sizes.precision}", sizes))
        return [*rows, *precisions(device, name, model, sizes)]


def images(device: str, encoder: Towers, name: str, sizes: Sizes, decoded: float) -> list[Row]:
    """Pictures beside the encoder's own model, and beside the processors."""
    picture = encoder._preprocessing.pixels(Image.new("RGB", (640, 480)))
    batch = np.repeat(picture[None], sizes.batch, axis=0)
    dtype = torch.bfloat16 if sizes.precision == "bf16" else torch.float32
    resident = torch.from_numpy(encoder._preprocessing.normalise(batch)).to(device, dtype)
    resident = resident.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        bare = captured(lambda: encoder._image_tower(resident))

        def alone() -> None:
            for _ in range(sizes.batches):
                bare()

        def ours() -> None:
            for _ in encoder.encode_images([batch] * sizes.batches, sizes.batch):
                pass

        seconds = race({"ours": ours, "alone": alone}, sizes.rounds, clock)
    count = sizes.batch * sizes.batches
    row = faster(
        name, "model alone", count, "images/s", seconds["ours"], seconds["alone"], ">= 0.9"
    )
    assert row.ours is not None
    share = row.ours / decoded
    return [row, Row(name, "decoding on all cores", row.ours, decoded, "images/s", share)]


def captions(count: int) -> list[str]:
    """Of three to thirty words."""
    draw = np.random.default_rng(0)
    words = np.array(["a", "photo", "of", "red", "bird", "house", "flying", "over", "the", "sea"])
    return [" ".join(draw.choice(words, size)) for size in draw.integers(3, 31, count)]


def texts(device: str, encoder: Towers, name: str, sizes: Sizes) -> Row:
    """Captions, from strings to vectors in memory, beside the encoder's own model."""
    given = captions(sizes.captions)
    assert encoder._tokenizer is not None
    assert encoder._text_tower is not None
    tower, tokens = encoder._text_tower, encoder._tokenizer(given[: sizes.batch]).to(device)
    with torch.inference_mode():
        bare = captured(lambda: tower(tokens))

        def alone() -> None:
            for _ in range(-(-len(given) // len(tokens))):
                bare()

        works = {"ours": lambda: encoder.encode_texts(given, sizes.batch), "alone": alone}
        seconds = race(works, sizes.rounds, clock)
    return faster(
        name, "model alone, full width", len(given), "captions/s", seconds["ours"], seconds["alone"]
    )


def precisions(device: str, name: str, model: str, sizes: Sizes) -> list[Row]:
    """How far half precision moves vectors: smooth noise for pictures, and captions."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (sizes.pictures // 4, 12, 16, 3), dtype=np.uint8)
    pictures = [Image.fromarray(one).resize((640, 480)) for one in coarse]
    words = captions(sizes.captions // 4)
    found: dict[str, list[Floats]] = {}
    halves: tuple[Precision, ...] = ("bf16", "fp16") if device == "cuda" else ("bf16",)
    for precision in ("fp32", *halves):
        encoder = loaded(name, device, precision)
        cut = np.stack([encoder._preprocessing.pixels(picture) for picture in pictures])
        batches = [cut[start : start + sizes.batch] for start in range(0, len(cut), sizes.batch)]
        vectors = np.concatenate([*encoder.encode_images(batches, sizes.batch)])
        found[precision] = [vectors, encoder.encode_texts(words, sizes.batch)]
    rows = []
    for precision in halves:
        for kind, half, full in zip(
            ("pictures", "captions"), found[precision], found["fp32"], strict=True
        ):
            cosine = np.einsum("ij,ij->i", half, full, dtype=np.float64)
            what = f"{model}, {kind}, {precision}: cosine to fp32"
            rows.append(_fact(f"{what}, mean", float(cosine.mean()), "", ">= 0.999"))
            rows.append(_fact(f"{what}, worst", float(cosine.min()), "", ">= 0.99"))
    return rows


def decoding(sizes: Sizes) -> float:
    """Pictures a second that all processors decode and bring to size; the device makes numbers of their bytes."""
    from tamis.pipeline.encoders.preprocessing import Preprocessing

    out = io.BytesIO()
    # Smooth noise: of every pixel for itself it is larger than any photograph, and slower.
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((640, 480)).save(out, "JPEG", quality=85)
    prepare = Preprocessing((224, 224), (224, 224), "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3)
    given = [out.getvalue()] * sizes.pictures
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        began = time.perf_counter()
        for _ in pool.map(lambda data: prepare.pixels(to_rgb(data)), given):
            pass
        return sizes.pictures / (time.perf_counter() - began)


def unit(rows: int, dimensions: int) -> Floats:
    """Rows of length 1 in every direction."""
    made = np.random.default_rng(0).standard_normal((rows, dimensions), dtype=np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def works_of(device: str, host: Floats, sizes: Sizes) -> dict[str, Callable[[], object]]:
    """The project's own functions: what runs on the device alone, and from memory to memory; and the peak."""
    centroids, half = host[: sizes.clusters], host.astype(np.float16)
    resident, members = torch.from_numpy(host).to(device), half[: sizes.members]
    held, nearest = kmeans.Centroids(centroids, device), on_gpu.Nearest(centroids, device)
    sample = on_gpu.Sample(host, device)
    square = torch.rand(sizes.square, sizes.square, device=device)

    def assign(rows_at_once: int = nearest.rows_at_once) -> None:
        for rows in resident.split(min(rows_at_once, nearest.rows_at_once)):
            nearest.search(rows)

    def assign_parts() -> None:
        for start in range(0, len(half), PART):
            held.assign(half[start : start + PART])

    def compare() -> None:
        list(
            semantic.max_similarity_blocks(
                lambda first, last: members[first:last],
                len(members),
                sizes.dimensions,
                device=device,
            )
        )

    return {
        PEAK: lambda: square @ square,
        "assign": assign,
        "assign, 4,096 rows at once": lambda: assign(4096),
        IN_MEMORY: assign_parts,
        "k-means, an iteration": lambda: sample.sums(centroids),
        COMPARE: compare,
    }


def products(device: str, sizes: Sizes) -> list[Row]:
    """They, beside the peak and beside faiss, and what they find."""
    devices.prepare(device)
    host = unit(sizes.rows, sizes.dimensions)
    centroids = host[: sizes.clusters]
    works = works_of(device, host, sizes)
    flop = dict.fromkeys(works, 2.0 * sizes.rows * sizes.clusters * sizes.dimensions)
    flop |= {PEAK: 2.0 * sizes.square**3, COMPARE: float(sizes.members) ** 2 * sizes.dimensions}
    theirs = faiss_on(device, centroids)
    if theirs is not None:
        works["faiss"] = lambda: theirs.search(host, 1)
    for work in works.values():
        work()
    seconds = race(works, sizes.rounds, clock)
    shown = []
    for name in list(flop)[1:]:
        scaled = [second * flop[name] / flop[PEAK] for second in seconds[PEAK]]
        goal = "" if name == IN_MEMORY else ">= 0.6"  # there it is for the processors to keep up
        amount = flop[name] / 1e9
        shown.append(faster(name, "matrix product", amount, "GFLOP/s", seconds[name], scaled, goal))
    if theirs is not None:
        ours = seconds[IN_MEMORY]
        shown.append(faster("assign", "faiss", len(host), "rows/s", ours, seconds["faiss"], ">= 1"))
    return [*shown, *differences(device, host[: sizes.few].astype(np.float16), centroids)]


def faiss_on(device: str, centroids: Floats) -> Any:
    """faiss's flat index of the centroids on the GPU; None where it sees none."""
    if device != "cuda" or not getattr(faiss, "get_num_gpus", int)():
        return None
    index = faiss.IndexFlatIP(centroids.shape[1])
    index.add(centroids)
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)


def differences(device: str, rows: Halves, centroids: Floats) -> list[Row]:
    """What the device finds beside what the processors do."""
    label, cosine = kmeans.assign(rows, centroids, device=device)
    other, expected = kmeans.assign(rows, centroids)
    order = np.arange(len(rows))
    value = semantic.max_similarity(rows, order, device=device)[0]
    apart = np.abs(value - semantic.max_similarity(rows, order)[0]).max()
    bits = np.count_nonzero((label == other) & (cosine.view("u4") != expected.view("u4")))
    return [
        _fact("labels other than the processors'", float((label != other).mean()), "share", ""),
        _fact(
            "the cosines of two such labels, at most apart", _most(cosine - expected), "", "<= 1e-6"
        ),
        _fact("cosines of equal labels with other bits", float(bits), "rows", "0"),
        _fact("semantic similarities, at most apart", float(apart), "", "<= 1e-6"),
    ]


def _most(numbers: Floats) -> float:
    return float(np.abs(numbers).max())


def _fact(what: str, value: float, unit: str, goal: str) -> Row:
    return Row(what, "", value, None, unit, None, goal=goal)


def main() -> None:
    """Measure, or show that it runs."""
    gpu = torch.cuda.is_available()
    sizes, device = (FULL, "cuda") if gpu else (TINY, "cpu")
    decoded = decoding(sizes)
    name = f"GPU: {torch.cuda.get_device_name()}" if gpu else ""
    # Each as soon as it is there: what comes later may not fit this GPU.
    works = {"products": partial(products, device, sizes)}
    works |= {model: partial(model_rows, device, model, sizes, decoded) for model in sizes.models}
    for asked in sys.argv[1:] or works:
        rows = works[asked]()
        if gpu:
            show(name, rows)
    if not gpu:
        print(NONE)


if __name__ == "__main__":
    main()
