"""timm models, with random weights in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tamis.pipeline import encoders
from tamis.schemas.errors import ModelError
from tests.encoders.conftest import TIMM
from tests.support.encoded import images, seen


@pytest.mark.parametrize("name", TIMM)
def test_it_is_timms_own_model(name: str, timm_weights: Path) -> None:
    """Against timm's own transform and forward pass without the classifier."""
    import timm
    import torch
    from safetensors.torch import load_file
    from timm.data.config import resolve_model_data_config
    from timm.data.transforms_factory import create_transform

    weights = timm_weights / f"{name}.safetensors"
    model: Any = timm.create_model(name)
    model.load_state_dict(load_file(weights))
    model.reset_classifier(0)
    transform = create_transform(**resolve_model_data_config(model.eval()))
    rng = np.random.default_rng(6)
    pictures = [
        Image.fromarray(rng.integers(0, 256, (h, 90, 3), dtype=np.uint8)) for h in (50, 300)
    ]
    with torch.inference_mode():
        raw = model(torch.stack([transform(picture) for picture in pictures])).numpy()
    encoder = encoders.load(f"timm:{name}@{weights}")
    ours = images(encoder, seen(f"timm:{name}@{weights}", pictures))
    np.testing.assert_allclose(ours, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=2e-5)
    assert ours.shape == (2, encoder.dim)
    described = encoders.describe(f"timm:{name}@{weights}")
    assert (described.dim, described.fingerprint) == (encoder.dim, encoder.fingerprint)


def test_weights_of_another_model_are_refused_in_one_line(timm_weights: Path) -> None:
    with pytest.raises(ModelError, match=r"is no checkpoint of test_vit: RuntimeError") as caught:
        encoders.load(f"timm:test_vit@{timm_weights / 'test_convnext.safetensors'}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("vit_small_patch14_dinov2", 384),
        ("convnext_tiny", 768),
        ("swin_tiny_patch4_window7_224", 768),
    ],
)
def test_real_models_have_their_dimension_without_weights(
    name: str, dim: int, timm_weights: Path
) -> None:
    assert encoders.describe(f"timm:{name}@{timm_weights / 'test_vit.safetensors'}").dim == dim
