"""Models of open_clip: ``open_clip:MODEL/PRETRAINED``, or ``open_clip:hf-hub:OWNER/NAME``.

PRETRAINED is one of the model's tags (its weights come from the Hugging Face hub or its cache), or the
path of a local checkpoint. An absolute path makes two slashes:
``open_clip:ViT-B-32//data/model.safetensors``. Pickled checkpoints are read as weights only.
A repository of the hub has a model's configuration and preprocessing beside its weights.
"""

from __future__ import annotations

import copy
import difflib
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.pipeline.encoders import hub
from tamis.pipeline.encoders.base import (
    LOADING_ERRORS,
    Description,
    Precision,
    checkpoint_error,
    fingerprint,
    one_line,
    quiet,
    require,
)
from tamis.pipeline.encoders.preprocessing import Preprocessing
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tamis.pipeline.encoders.towers import AT_ONCE, TextTower, Towers
from tamis.schemas.errors import ModelError, NotFetchedError

if TYPE_CHECKING:
    import torch

_WIDTHS = (16, 24, 32, 48)
"""Tokens to which captions are padded, if the model's context is longer."""

_TRANSFORMERS = (8, 16)
"""``towers.AT_ONCE`` of open_clip's own vision transformers."""

HUB = "hf-hub:"
"""Before the name of a repository, as open_clip has it."""

FOLDER = "local-dir:"
"""Before the path of a folder with such a repository's files."""

_HUB_CONFIG = "open_clip_config.json"
_HUB_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)

_WIDEST = 77
"""Tokens of the context of a model whose configuration has none."""


@dataclass(frozen=True)
class _Checkpoint:
    """A model's name and configuration in open_clip, its tag's configuration, and the weights file."""

    name: str
    config: dict[str, Any]
    tag: dict[str, Any]
    weights: str


def describe(rest: str, precision: Precision) -> Description:
    """Describe ``open_clip:rest``; the weights of a tag are fetched, but not loaded.

    Raises:
        ModelError: open_clip, the model, the tag, the file or the tokenizer is missing.
    """
    checkpoint = _find(rest)
    _tokenizer(checkpoint.name)
    preprocessing, widths = _preprocessing(checkpoint), _widths(checkpoint.config)
    at_once = _at_once(checkpoint.config)
    identity = fingerprint(
        "open_clip",
        [checkpoint.weights],
        preprocessing,
        config=checkpoint.config,
        quick_gelu=_quick_gelu(checkpoint),
        precision=precision,
        **({"widths": widths} if widths else {}),
        **({"at_once": at_once} if at_once != (4, 8) else {}),  # older fingerprints have none
    )
    return Description(checkpoint.config["embed_dim"], True, identity, preprocessing)


def load(rest: str, device: str, precision: Precision) -> Towers:
    """Load the model with its weights.

    Raises:
        ModelError: as ``describe``, or the checkpoint does not fit the model.
    """
    ensure_torchvision()  # before the import of open_clip, which needs it
    import open_clip
    import torch

    from tamis.pipeline.encoders.lazy_init import SkipRandomInit

    description = describe(rest, precision)
    checkpoint = _find(rest)
    try:
        with SkipRandomInit():  # open_clip refuses a checkpoint that lacks a parameter
            model = open_clip.create_model(
                checkpoint.name,
                # Of a folder open_clip takes the weights that lie in it.
                pretrained=None if checkpoint.name.startswith(FOLDER) else checkpoint.weights,
                precision=precision,
                device=device,
                force_quick_gelu=_quick_gelu(checkpoint),
            )
    except LOADING_ERRORS as error:
        raise checkpoint_error(checkpoint.weights, checkpoint.name, error) from error
    # open_clip has set the precision, but for norms, which stay in fp32.
    model.eval().to(memory_format=torch.channels_last)
    tokenizer = _tokenizer(checkpoint.name)
    context = getattr(tokenizer, "context_length", model.context_length)
    text_tower, widths = _text_tower(model, _widths(checkpoint.config), context)
    at_once = _at_once(checkpoint.config)
    return Towers(
        description, device, precision, model.encode_image, text_tower, tokenizer, widths, at_once
    )


def _at_once(config: dict[str, Any]) -> tuple[int, int]:
    """Larger pieces for transformers: their activations are small beside the weights, which every piece reads."""
    vision = config["vision_cfg"]
    is_transformer = isinstance(vision.get("layers"), int) and "timm_model_name" not in vision
    return _TRANSFORMERS if is_transformer else AT_ONCE


def _widths(config: dict[str, Any]) -> tuple[int, ...]:
    """Numbers of tokens below the whole context to which texts may be padded; none if padding changes the vectors.

    In a model with causal attention whose vector is that of the last token, the padding up to the context has no
    effect and is left out: captions of the web fill a quarter of the context.
    """
    text = config["text_cfg"]
    padded = (
        text.get("no_causal_mask", False)
        or text.get("pool_type", "argmax") not in {"argmax", "eos"}
        or any(text.get(name) for name in ("hf_model_name", "embed_cls", "output_tokens"))
        or "multimodal_cfg" in config
    )
    context = text.get("context_length", _WIDEST)
    return () if padded else tuple(width for width in _WIDTHS if width < context)


def _text_tower(
    model: Any, widths: tuple[int, ...], context: int
) -> tuple[TextTower, tuple[int, ...]]:
    """The tower for texts, and the widths in tokens that it takes."""
    import open_clip
    from open_clip.transformer import TextTransformer

    is_clip = type(model) is open_clip.CLIP  # whose text tower is the model itself
    text = model if is_clip else getattr(model, "text", None)
    known = is_clip or (type(model) is open_clip.CustomTextCLIP and type(text) is TextTransformer)
    if not widths or not known:
        return model.encode_text, (context,)
    modules = {width: _narrow(text, width) for width in widths} | {context: text}

    def tower(tokens: torch.Tensor) -> torch.Tensor:
        module = modules[tokens.shape[1]]
        vectors: torch.Tensor = module.encode_text(tokens) if is_clip else module(tokens)
        return vectors

    return tower, tuple(modules)


def _narrow(text: Any, width: int) -> Any:
    """A copy of the module ``text`` for texts of ``width`` tokens, with the same weights in memory."""
    import torch

    weights = {id(weight): weight for weight in (*text.parameters(), *text.buffers())}
    narrow = copy.deepcopy(text, weights)
    positions = text.positional_embedding.detach()[:width]
    narrow.positional_embedding = torch.nn.Parameter(positions, requires_grad=False)
    narrow.attn_mask = text.attn_mask[:width, :width]
    return narrow


def _find(rest: str) -> _Checkpoint:
    require("open_clip", "open_clip", "open_clip_torch")
    ensure_torchvision()
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    if rest.startswith(HUB):
        return _of_hub(rest)
    name, slash, pretrained = rest.partition("/")
    if not slash or not name or not pretrained:
        raise ModelError(
            f"`open_clip:{rest}`: write open_clip:MODEL/TAG, open_clip:MODEL//PATH or open_clip:{HUB}OWNER/NAME"
        )
    config = open_clip.get_model_config(name)
    if config is None:
        matches = difflib.get_close_matches(name, open_clip.list_models(), 3)
        hint = f": did you mean {' or '.join(matches)}?" if matches else ""
        raise ModelError(f"open_clip has no model `{name}`{hint}")
    tag = get_pretrained_cfg(name, pretrained)
    if tag:
        return _Checkpoint(
            name, config, dict(tag), _fetch(name, pretrained, tag, config["embed_dim"])
        )
    if not os.path.isfile(pretrained):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise ModelError(
            f"`{pretrained}` is neither a tag of {name} nor a checkpoint file; its tags: {tags}"
        )
    return _Checkpoint(name, config, {}, pretrained)


def _of_hub(name: str) -> _Checkpoint:
    """The model of a repository of the hub: its configuration, preprocessing and weights."""
    repository = name.removeprefix(HUB)
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository, re.ASCII):
        raise ModelError(
            f"`open_clip:{name}`: write open_clip:{HUB}OWNER/NAME, such as {HUB}apple/DFN-public"
        )
    try:
        written, weights = hub.fetch(repository, [_HUB_CONFIG], _HUB_WEIGHTS)
    except ModelError as error:
        raise NotFetchedError(
            f"`open_clip:{name}`: {error}: check the name and the network, or name a local checkpoint: "
            "open_clip:MODEL//path/to/checkpoint.safetensors",
            None,
            has_text=True,
        ) from error
    try:
        config = json.loads(Path(written).read_text())
        model = dict(config["model_cfg"])
        model["embed_dim"], model["vision_cfg"], model["text_cfg"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"`open_clip:{name}`: its {_HUB_CONFIG} describes no model ({one_line(error)})"
        ) from error
    folder = str(Path(written).parent)
    return _Checkpoint(f"{FOLDER}{folder}", model, config.get("preprocess_cfg") or {}, weights)


def _fetch(name: str, pretrained: str, tag: dict[str, Any], dim: int) -> str:
    """The weights file of a tag, from the hub or its cache."""
    from open_clip.pretrained import download_pretrained

    try:
        if not hub.fetches() and not tag.get("hf_hub"):
            raise FileNotFoundError("nothing is fetched here")
        with quiet():
            return str(download_pretrained(tag))
    except (OSError, RuntimeError, ValueError) as error:
        raise NotFetchedError(
            f"cannot fetch `{pretrained}` of {name} ({one_line(error)}); without a network name a "
            f"local checkpoint: open_clip:{name}//path/to/checkpoint.safetensors",
            dim,
            has_text=True,
        ) from error


@lru_cache(maxsize=1)  # each task needs it, and to build one takes a tenth of a second
def _tokenizer(name: str) -> Any:
    import open_clip

    try:
        return open_clip.get_tokenizer(name)
    except (OSError, ImportError, ValueError) as error:
        raise ModelError(f"cannot load the tokenizer of {name}: {one_line(error)}") from error


def _preprocessing(checkpoint: _Checkpoint) -> Preprocessing:
    """The tag's preprocessing over open_clip's defaults, at the image size of the model."""
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    values = merge_preprocess_dict(PreprocessCfg(), checkpoint.tag)
    size = checkpoint.config["vision_cfg"].get("image_size", 224)
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


def _quick_gelu(checkpoint: _Checkpoint) -> bool:
    # OpenAI's weights were trained with another GELU than that of open_clip's model of the same name.
    return any(config.get("quick_gelu", False) for config in (checkpoint.tag, checkpoint.config))
