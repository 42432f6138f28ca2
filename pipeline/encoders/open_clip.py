"""Models of open_clip: ``open_clip:MODEL/PRETRAINED``.

PRETRAINED is one of the model's tags (its weights come from the Hugging Face hub, or from that hub's
cache), or the path of a local checkpoint. An absolute path makes two slashes:
``open_clip:ViT-B-32//data/model.safetensors``. Pickled checkpoints are read as weights only.
"""

from __future__ import annotations

import copy
import difflib
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tamis.pipeline.encoders.base import (
    LOADING_ERRORS,
    Description,
    Precision,
    fingerprint,
    misfit,
    one_line,
    quiet,
    require,
)
from tamis.pipeline.encoders.preprocessing import Preprocessing
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tamis.pipeline.encoders.towers import AT_ONCE, TextTower, Towers
from tamis.schemas.errors import ModelError

if TYPE_CHECKING:
    import torch

_WIDTHS = (16, 24, 32, 48)
"""Tokens: what captions are padded to, below a model's own context."""

_TRANSFORMERS = (8, 16)
"""Pictures and texts at once on a CPU for open_clip's own vision transformers: see ``towers.AT_ONCE``."""

_WIDEST = 77
"""open_clip's context where a model does not say."""


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
    preprocessing, widths = _preprocessing(source), _widths(source.config)
    at_once = _at_once(source.config)
    identity = fingerprint(
        "open_clip",
        [source.weights],
        preprocessing,
        config=source.config,
        quick_gelu=_quick_gelu(source),
        precision=precision,
        **({"widths": widths} if widths else {}),
        **({"at_once": at_once} if at_once != (4, 8) else {}),  # what it was before it was told
    )
    return Description(source.config["embed_dim"], True, identity, preprocessing)


def load(rest: str, device: str, precision: Precision) -> Towers:
    """The model with its weights.

    Raises:
        ModelError: as ``describe``, or the checkpoint does not fit the model.
    """
    ensure_torchvision()  # a worker comes here first
    import open_clip
    import torch

    from tamis.pipeline.encoders.lazy_init import Undrawn

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
    context = getattr(tokenizer, "context_length", model.context_length)
    text_tower, widths = _text_tower(model, _widths(source.config), context)
    at_once = _at_once(source.config)
    return Towers(
        described, device, precision, model.encode_image, text_tower, tokenizer, widths, at_once
    )


def _at_once(config: dict[str, Any]) -> tuple[int, int]:
    """A transformer's activations are small beside its weights, which are read once for every piece."""
    vision = config["vision_cfg"]
    of_layers = isinstance(vision.get("layers"), int) and "timm_model_name" not in vision
    return _TRANSFORMERS if of_layers else AT_ONCE


def _widths(config: dict[str, Any]) -> tuple[int, ...]:
    """Tokens below the whole context that texts may go through in.

    Where a token sees none that come after it, and a text's vector is that of its last token, what pads the text up to
    the context counts for nothing, and is left out: captions of the web fill a quarter of it. Of other models none.
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
    """The tower for texts, and the widths (tokens) that it takes."""
    import open_clip
    from open_clip.transformer import TextTransformer

    whole = type(model) is open_clip.CLIP  # its text tower's parts are its own
    text = model if whole else getattr(model, "text", None)
    known = whole or (type(model) is open_clip.CustomTextCLIP and type(text) is TextTransformer)
    if not widths or not known:
        return model.encode_text, (context,)
    narrow = {width: _narrowed(text, width) for width in widths} | {context: text}

    def tower(tokens: torch.Tensor) -> torch.Tensor:
        of_width = narrow[tokens.shape[1]]
        found: torch.Tensor = of_width.encode_text(tokens) if whole else of_width(tokens)
        return found

    return tower, tuple(narrow)


def _narrowed(text: Any, width: int) -> Any:
    """The same module, with the same weights in memory, for texts of ``width`` tokens."""
    import torch

    weights = {id(weight): weight for weight in (*text.parameters(), *text.buffers())}
    narrow = copy.deepcopy(text, weights)
    positions = text.positional_embedding.detach()[:width]
    narrow.positional_embedding = torch.nn.Parameter(positions, requires_grad=False)
    narrow.attn_mask = text.attn_mask[:width, :width]
    return narrow


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
