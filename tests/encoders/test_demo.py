"""The demo encoder, end to end, on the example data."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from tamis.pipeline import encoders
from tamis.pipeline.encoders.base import Encoder
from tamis.pipeline.inputs.images import to_rgb
from tests.support.encoded import images, seen

Pairs = dict[str, tuple[bytes, str]]


@pytest.fixture(scope="module")
def pixels(demo: Encoder, example_pairs: Pairs) -> NDArray[np.uint8]:
    """Eleven pictures: no multiple of any batch."""
    pictures = [picture for picture, _ in example_pairs.values()][:11]
    return seen("demo", map(to_rgb, pictures))


@pytest.fixture(scope="module")
def vectors(demo: Encoder, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images(demo, pixels, 32)


CAPTIONS = ["an apple (fruit, food)", "", "red flag", "a house " * 200, "¿qué?", "flag of Norway"]


def test_a_small_change_matters_less_than_another_picture(
    demo: Encoder, example_pairs: Pairs, vectors: NDArray[np.float32]
) -> None:
    first = to_rgb(next(iter(example_pairs.values()))[0])
    smaller = first.resize((first.width * 3 // 4, first.height * 3 // 4))
    near = images(demo, seen("demo", [smaller]), 32)[0]
    cosines = vectors @ near
    assert cosines[0] > 0.9
    assert cosines[0] > cosines[1:].max()


def test_a_picture_finds_its_caption_more_often_than_by_chance(
    demo: Encoder, example_pairs: Pairs
) -> None:
    chosen = list(
        {caption: (picture, caption) for picture, caption in example_pairs.values()}.values()
    )[:40]
    pictures = seen("demo", [to_rgb(picture) for picture, _ in chosen])
    vectors = images(demo, pictures, 32)
    texts = demo.encode_texts([caption for _, caption in chosen])
    cosines = vectors @ texts.T
    ranks = (cosines > np.diag(cosines)[:, None]).sum(axis=1)
    # By chance 3.3 of 40 would be among the first ten per cent.
    assert (ranks < 4).sum() >= 20


@pytest.mark.gpu
def test_a_gpu_gives_nearly_the_same(
    demo: Encoder, pixels: NDArray[np.uint8], vectors: NDArray[np.float32]
) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    gpu = encoders.load("demo", "cuda")
    first = images(gpu, pixels, 32)
    assert ((first * vectors).sum(axis=1) > 0.999).all()
    order = np.arange(len(pixels))[::-1]
    np.testing.assert_array_equal(images(gpu, pixels[order], 32), first[order])
    texts = [*CAPTIONS, *map(str, range(90))]
    torch.cuda.set_sync_debug_mode("warn")  # texts are waited for once
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            words = gpu.encode_texts(texts)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waits) <= 1
    np.testing.assert_array_equal(gpu.encode_texts(texts[::-1])[::-1], words)
    assert ((words * demo.encode_texts(texts)).sum(axis=1) > 0.999).all()


HEAVY = ["transformers", "open_clip", "timm", "torchvision"]


def test_no_hub_is_asked_and_no_more_than_torch_imported(tmp_path: object) -> None:
    """With the hub switched off and no cache, in a process of its own, both towers encode."""
    code = (
        "import sys, numpy as np; from tamis.pipeline import encoders; e = encoders.load('demo');"
        "i, = e.encode_images([np.zeros((1,224,224,3),'u1')], 1);"
        "print(e.encode_texts(['a flag', 'two flags']).shape, i.shape,"
        f"[name for name in {HEAVY} if name in sys.modules])"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "(2, 256) (1, 256) []"
    assert "Traceback" not in done.stderr
