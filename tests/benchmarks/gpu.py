"""What a GPU does of what it can: images a second, and GFLOP/s of clusters and semantic duplicates. For a bare machine.

    pip install torch open_clip_torch fsspec pyarrow pydantic xxhash
    PYTHONPATH=. python tests/benchmarks/gpu.py

- *images*: the encoder as a worker holds it, from preprocessed batches in memory to unit vectors in memory, for
  ViT-B/32 and ViT-L/14 in bf16 with random weights; beside the model alone on resident tensors, captured as a CUDA
  graph, and beside what the processors here decode (JPEGs of 640 x 480, all cores).
- *products*: assignment to centroids, and similarities of all pairs in blocks, in fp32 with torch; beside the largest
  matrix product's rate. Their results are held against NumPy's.

Without a CUDA device nothing is measured: a tiny model and tiny products show that the code runs.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline import encoders
from pipeline.encoders.base import Precision
from pipeline.encoders.torchvision_ops import ensure_torchvision
from pipeline.encoders.towers import Towers
from pipeline.formats.images import to_rgb
from tests.benchmarks._table import Row, faster, race, show

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
    block: int
    square: int
    pictures: int
    rounds: int


FULL = Sizes(
    ("ViT-B-32", "ViT-L-14"), "bf16", 256, 20, 200_000, 8_192, 768, 16_384, 16_384, 2_000, 5
)
TINY = Sizes(("tamis-tiny",), "fp32", 2, 1, 300, 7, 16, 128, 64, 4, 1)

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


def images(device: str, model: str, sizes: Sizes, decoded: float) -> list[Row]:
    """The encoder beside its own model, and beside the processors."""
    ensure_torchvision()
    import open_clip

    with tempfile.TemporaryDirectory() as folder:
        if model in TINY.models:
            Path(folder, f"{model}.json").write_text(json.dumps(TINY_MODEL))
            open_clip.add_model_config(Path(folder, f"{model}.json"))
        path = Path(folder, "random.pt")
        torch.manual_seed(0)
        torch.save(open_clip.create_model(model).state_dict(), path)
        encoder = encoders.load(f"open_clip:{model}/{path}", device, sizes.precision)
    assert isinstance(encoder, Towers)
    picture = encoder.preprocess(Image.new("RGB", (640, 480)))
    batch = np.repeat(picture[None], sizes.batch, axis=0)
    dtype = torch.bfloat16 if sizes.precision == "bf16" else torch.float32
    resident = torch.from_numpy(batch).to(device, dtype)
    resident = resident.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        bare = captured(lambda: encoder._image_tower(resident))

        def alone() -> None:
            for _ in range(sizes.batches):
                bare()

        def ours() -> None:
            for _ in range(sizes.batches):
                encoder.encode_images(batch)

        seconds = race({"ours": ours, "alone": alone}, sizes.rounds, clock)
    count = sizes.batch * sizes.batches
    name = f"{model}, {sizes.precision}"
    row = faster(
        name, "model alone", count, "images/s", seconds["ours"], seconds["alone"], ">= 0.9"
    )
    assert row.ours is not None
    share = row.ours / decoded
    return [row, Row(name, "decoding on all cores", row.ours, decoded, "images/s", share)]


def decoding(sizes: Sizes) -> float:
    """Pictures a second that all processors decode and preprocess."""
    from pipeline.encoders.preprocessing import Preprocessing

    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((640, 480)).save(out, "JPEG")
    prepare = Preprocessing((224, 224), (224, 224), "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        began = time.perf_counter()
        for _ in pool.map(lambda data: prepare(to_rgb(data)), [out.getvalue()] * sizes.pictures):
            pass
        return sizes.pictures / (time.perf_counter() - began)


def assign(rows: torch.Tensor, centroids: torch.Tensor, block: int) -> torch.Tensor:
    """The nearest centroid of each row."""
    return torch.cat([(piece @ centroids.T).argmax(dim=1) for piece in rows.split(block)])


def nearest(rows: torch.Tensor, block: int) -> torch.Tensor:
    """Each row's greatest similarity to a row before it, in blocks of the lower triangle; the first has 0."""
    found = torch.zeros(len(rows), device=rows.device)
    for top in range(0, len(rows), block):
        mine = rows[top : top + block]
        for left in range(0, top + 1, block):
            product = mine @ rows[left : left + block].T
            if left == top:
                product = product.tril(-1)
            there = slice(top, top + block)
            found[there] = torch.maximum(found[there], product.amax(dim=1))
    return found


def products(device: str, sizes: Sizes) -> list[Row]:
    """Both beside the peak, and what they find beside NumPy's."""
    torch.backends.cuda.matmul.allow_tf32 = False
    draw = np.random.default_rng(0)
    host = draw.standard_normal((sizes.rows, sizes.dimensions), dtype=np.float32)
    host /= np.linalg.norm(host, axis=1, keepdims=True)
    rows = torch.from_numpy(host).to(device)
    centroids = rows[: sizes.clusters]
    square = torch.rand(sizes.square, sizes.square, device=device)
    some = rows[: 4 * sizes.block]
    works: dict[str, Callable[[], object]] = {
        "peak": lambda: square @ square,
        "assign": lambda: assign(rows, centroids, sizes.block),
        "nearest": lambda: nearest(some, sizes.block),
    }
    for work in works.values():
        work()
    seconds = race(works, sizes.rounds, clock)
    tiles = -(-len(some) // sizes.block)
    flop = {
        "peak": 2.0 * sizes.square**3,
        "assign": 2.0 * sizes.rows * sizes.clusters * sizes.dimensions,
        "nearest": tiles * (tiles + 1) * float(sizes.block**2) * sizes.dimensions,
    }
    shown = []
    for name in ("assign", "nearest"):
        scaled = [second * flop[name] / flop["peak"] for second in seconds["peak"]]
        unit, goal = "GFLOP/s", ">= 0.6"
        shown.append(
            faster(name, "matrix product", flop[name] / 1e9, unit, seconds[name], scaled, goal)
        )
    few = min(512, len(host))
    theirs = np.maximum(np.tril(host[:few] @ host[:few].T, -1).max(axis=1), 0)
    apart = float(np.abs(nearest(rows[:few], sizes.block).cpu().numpy() - theirs).max())
    shown.append(
        Row("nearest: furthest from NumPy", "", apart, None, "cosine", None, goal="<= 1e-5")
    )
    return shown


def main() -> None:
    """Measure, or show that it runs."""
    gpu = torch.cuda.is_available()
    sizes, device = (FULL, "cuda") if gpu else (TINY, "cpu")
    decoded = decoding(sizes)
    rows = products(device, sizes)
    for model in sizes.models:
        rows += images(device, model, sizes, decoded)
    if gpu:
        show(f"GPU: {torch.cuda.get_device_name()}", rows)
    else:
        print(NONE)


if __name__ == "__main__":
    main()
