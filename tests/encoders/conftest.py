"""Encoders that several tests share: each is loaded once."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tamis.pipeline import encoders
from tamis.pipeline.encoders.base import Encoder
from tamis.pipeline.encoders.own import Own
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tamis.pipeline.plugins import sources
from tamis.pipeline.steps.embed.config import OwnCode
from tests.support import own_encoders
from tests.support.transformers_models import write_clip

EXAMPLES = Path(__file__).parents[2] / "jobs" / "examples" / "clipart"


@pytest.fixture(scope="session")
def demo() -> Encoder:
    """The demo model, as a worker holds it: one thread."""
    import torch

    torch.set_num_threads(1)
    return encoders.load("demo")


@pytest.fixture(scope="session")
def example_pairs() -> dict[str, tuple[bytes, str]]:
    """key -> (PNG, caption) of the example data's first tar."""
    pairs = {}
    with tarfile.open(fileobj=io.BytesIO((EXAMPLES / "00000.tar").read_bytes())) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    for name, data in members.items():
        if name.endswith(".png"):
            pairs[name[:-4]] = (data, members[name[:-4] + ".txt"].decode())
    return pairs


TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration `tamis-tiny`, known to open_clip, and a checkpoint of it."""
    ensure_torchvision()
    import open_clip
    import torch

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tamis-tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "tamis-tiny.json")
    torch.manual_seed(11)
    torch.save(open_clip.create_model("tamis-tiny").state_dict(), folder / "tiny.pt")
    return folder / "tiny.pt"


TIMM = ["test_vit", "test_efficientnet", "test_convnext"]


@pytest.fixture(scope="session")
def timm_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, classifier included, of each model."""
    ensure_torchvision()
    import timm
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("timm")
    for name in TIMM:
        torch.manual_seed(4)
        save_file(timm.create_model(name).state_dict(), folder / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="session")
def transformers_spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"transformers:{write_clip(tmp_path_factory.mktemp('transformers') / 'tiny')}"


@pytest.fixture(scope="session")
def own_spec(tmp_path_factory: pytest.TempPathFactory) -> Own:
    """A class of a user's own, as a job finds it."""
    folder = tmp_path_factory.mktemp("own")
    entry = YAML(typ="safe").load(own_encoders.write_encoder(folder))
    code = OwnCode.model_validate(entry).settled()
    assert code.packed is not None
    return replace(code.spec, factory=sources.load(code.packed, code.name))


@pytest.fixture(scope="session")
def demo_spec() -> str:
    return "demo"


@pytest.fixture(scope="session")
def open_clip_spec(checkpoint: Path) -> str:
    return f"open_clip:tamis-tiny/{checkpoint}"


@pytest.fixture(scope="session")
def timm_spec(timm_weights: Path) -> str:
    return f"timm:test_vit@{timm_weights / 'test_vit.safetensors'}"
