"""Models of open_clip: ``open_clip:MODEL/PRETRAINED``.

PRETRAINED is one of the model's tags (its weights come from the Hugging Face hub, or from that hub's
cache), or the path of a local checkpoint. An absolute path makes two slashes:
``open_clip:ViT-B-32//data/model.safetensors``. Pickled checkpoints are read as weights only.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.encoders.base import (
    LOADING_ERRORS,
    Description,
    Precision,
    fingerprint,
    misfit,
    one_line,
    quiet,
    require,
)
from pipeline.encoders.preprocessing import Preprocessing
from pipeline.encoders.torchvision_ops import ensure_torchvision
from pipeline.encoders.towers import Towers
from schemas.errors import ModelError


@dataclass(frozen=True)
class _Source:
    """Where a model's parts are: open_clip's name and configuration, the tag's, and the weights file."""

    name: str
    config: dict[str, Any]
    tag: dict[str, Any]
    weights: str


def describe(rest: str, precision: Precision) -> Description:
    """What ``open_clip:rest`` is; fetches the weights of a tag, but does not load them.

    Raises:
        ModelError: open_clip, the model, the tag, the file or the tokenizer is missing.
    """
    source = _source(rest)
    _tokenizer(source.name)
    preprocessing = _preprocessing(source)
    identity = fingerprint(
        "open_clip",
        [source.weights],
        preprocessing,
        config=source.config,
        quick_gelu=_quick_gelu(source),
        precision=precision,
    )
    return Description(source.config["embed_dim"], True, True, identity, preprocessing)


def load(rest: str, device: str, precision: Precision) -> Towers:
    """The model with its weights.

    Raises:
        ModelError: as ``describe``, or the checkpoint does not fit the model.
    """
    ensure_torchvision()  # a worker comes here first
    import open_clip
    import torch

    from pipeline.encoders.undrawn import Undrawn

    described = describe(rest, precision)
    source = _source(rest)
    try:
        with Undrawn():  # open_clip refuses a checkpoint that lacks a parameter
            model = open_clip.create_model(
                source.name,
                pretrained=source.weights,
                precision=precision,
                device=device,
                force_quick_gelu=_quick_gelu(source),
            )
    except LOADING_ERRORS as error:
        raise misfit(source.weights, source.name, error) from error
    # open_clip has set the precision, and leaves norms in fp32.
    model.eval().to(memory_format=torch.channels_last)
    tokenizer = _tokenizer(source.name)
    width = getattr(tokenizer, "context_length", model.context_length)
    return Towers(
        described, device, precision, model.encode_image, model.encode_text, tokenizer, (width,)
    )


def _source(rest: str) -> _Source:
    require("open_clip", "open_clip", "open_clip_torch")
    ensure_torchvision()
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    name, slash, pretrained = rest.partition("/")
    if not slash or not name or not pretrained:
        raise ModelError(f"`open_clip:{rest}`: write open_clip:MODEL/TAG or open_clip:MODEL//PATH")
    config = open_clip.get_model_config(name)
    if config is None:
        near = difflib.get_close_matches(name, open_clip.list_models(), 3)
        hint = f": did you mean {' or '.join(near)}?" if near else ""
        raise ModelError(f"open_clip has no model `{name}`{hint}")
    tag = get_pretrained_cfg(name, pretrained)
    if tag:
        return _Source(name, config, dict(tag), _fetched(name, pretrained, tag))
    if not os.path.isfile(pretrained):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise ModelError(
            f"`{pretrained}` is neither a tag of {name} nor a checkpoint file; its tags: {tags}"
        )
    return _Source(name, config, {}, pretrained)


def _fetched(name: str, pretrained: str, tag: dict[str, Any]) -> str:
    """The weights file of a tag, from the hub or its cache."""
    from open_clip.pretrained import download_pretrained

    try:
        with quiet():
            return str(download_pretrained(tag))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"cannot fetch `{pretrained}` of {name} ({one_line(error)}); without a network name a "
            f"local checkpoint: open_clip:{name}//path/to/checkpoint.safetensors"
        ) from error


@lru_cache(maxsize=1)  # each task asks, and to build one takes a tenth of a second
def _tokenizer(name: str) -> Any:
    import open_clip

    try:
        return open_clip.get_tokenizer(name)
    except (OSError, ImportError, ValueError) as error:
        raise ModelError(f"cannot load the tokenizer of {name}: {one_line(error)}") from error


def _preprocessing(source: _Source) -> Preprocessing:
    """The tag's preprocessing over open_clip's defaults, at the image size of the model."""
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    values = merge_preprocess_dict(PreprocessCfg(), source.tag)
    size = source.config["vision_cfg"].get("image_size", 224)
    square = (size, size) if isinstance(size, int) else (size[0], size[1])
    bilinear = values["interpolation"] == "bilinear"
    return Preprocessing(
        size=square,
        scale=square,
        mode=values["resize_mode"],
        interpolation="bilinear" if bilinear else "bicubic",
        mean=tuple(values["mean"]),
        std=tuple(values["std"]),
        fill=(values["fill_color"],) * 3,
    )


def _quick_gelu(source: _Source) -> bool:
    # OpenAI's weights were trained with another GELU than open_clip's model of the same name has.
    return bool(source.tag.get("quick_gelu", False) or source.config.get("quick_gelu", False))
