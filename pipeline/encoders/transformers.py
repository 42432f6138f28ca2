"""Models of transformers that embed pictures and captions: ``transformers:OWNER/NAME`` or ``transformers:FOLDER``.

OWNER/NAME is a repository of the Hugging Face hub, FOLDER has such a repository's files. Code that comes with a
repository is never run, and pickled weights are not read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tamis.pipeline.encoders import hub
from tamis.pipeline.encoders.base import (
    LOADING_ERRORS,
    Description,
    Precision,
    checkpoint_error,
    file_hash,
    fingerprint,
    one_line,
    quiet,
    require,
)
from tamis.pipeline.encoders.preprocessing import Preprocessing, Size
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tamis.pipeline.encoders.towers import Towers, to_inference
from tamis.schemas.errors import ModelError, NotFetchedError

if TYPE_CHECKING:
    import torch

_CONFIG = "config.json"
_PICTURES = ("preprocessor_config.json", "processor_config.json")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_TOKENS = ("tokenizer.json", "vocab.json", "spiece.model")
_BESIDE_TOKENS = ("tokenizer_config.json", "special_tokens_map.json", "merges.txt")

_AT_ONCE = (8, 16)
"""``towers.AT_ONCE`` of vision transformers."""


@dataclass(frozen=True)
class _Files:
    """A repository's files, in one folder."""

    folder: str
    weights: tuple[str, ...]
    tokens: tuple[str, ...]


def describe(rest: str, precision: Precision) -> Description:
    """Describe ``transformers:rest``; the weights of a repository are fetched, but not loaded.

    Raises:
        ModelError: transformers is not installed, a file is missing, or it is no model of pictures and captions.
    """
    _import()
    files = _files(rest)
    config = _read(rest, files, _CONFIG)
    preprocessing, dim = _preprocessing(rest, files), _dim(rest, files.folder)
    identity = fingerprint(
        "transformers",
        files.weights,
        preprocessing,
        config={key: config[key] for key in config if key != "transformers_version"},
        tokens=[file_hash(path) for path in files.tokens],
        at_once=_AT_ONCE,
        precision=precision,
    )
    return Description(dim, True, identity, preprocessing)


def load(rest: str, device: str, precision: Precision) -> Towers:
    """Load the model with its weights.

    Raises:
        ModelError: as ``describe``, or the weights do not fit the model.
    """
    description = describe(rest, precision)
    from transformers import AutoModel

    files = _files(rest)
    try:
        with quiet():
            model, found = AutoModel.from_pretrained(
                files.folder, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except LOADING_ERRORS as error:
        raise checkpoint_error(files.weights[0], rest, error) from error
    lacking = sorted(found["missing_keys"]) or sorted(map(str, found["mismatched_keys"]))
    if lacking:  # they would be random
        raise ModelError(
            f"`transformers:{rest}`: its weights lack {lacking[0]}: take a whole checkpoint"
        )
    model = to_inference(model, device, precision)
    tokenizer = _tokenizer(rest, files.folder)

    def image_tower(pixels: torch.Tensor) -> torch.Tensor:
        return _pooled(model.get_image_features(pixel_values=pixels))

    def text_tower(tokens: torch.Tensor) -> torch.Tensor:
        given = {"input_ids": tokens.where(tokens >= 0, ~tokens)}
        if tokenizer.masks:
            given["attention_mask"] = (tokens >= 0).long()
        return _pooled(model.get_text_features(**given))

    return Towers(
        description,
        device,
        precision,
        image_tower,
        text_tower,
        tokenizer,
        (tokenizer.context,),
        _AT_ONCE,
    )


class _Tokenizer:
    """Texts as tokens (n, context); one that is hidden from the model has ``~token``, which is negative.

    The text is always padded to the whole context, as some of these models were trained.
    """

    def __init__(self, tokenizer: Any, context: int) -> None:
        self._tokenizer, self.context = tokenizer, context
        self.masks = "attention_mask" in tokenizer.model_input_names

    def __call__(self, texts: list[str]) -> torch.Tensor:
        import torch

        found = self._tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=self.context,
            return_attention_mask=True,
            return_tensors="np",
        )
        tokens = torch.from_numpy(found["input_ids"]).long()
        if not self.masks:
            return tokens
        return tokens.where(torch.from_numpy(found["attention_mask"]) > 0, ~tokens)


def _import() -> None:
    require("transformers", "transformers", "tamis[transformers]")
    ensure_torchvision()  # before transformers, which needs it
    from transformers.utils import logging

    logging.disable_progress_bar()


def _files(rest: str) -> _Files:
    """The files of a folder, or of a repository of the hub or its cache."""
    if Path(rest, _CONFIG).is_file():
        folder, names = rest, [path.name for path in Path(rest).iterdir()]
        for choices in ((_CONFIG,), _PICTURES, _WEIGHTS, _TOKENS):
            if not set(choices) & set(names):
                raise ModelError(f"`transformers:{rest}`: has no file {' or '.join(choices)}")
    elif re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", rest, re.ASCII):
        folder = _fetched(rest)
    else:
        raise ModelError(
            f"`transformers:{rest}`: write transformers:OWNER/NAME, such as google/siglip2-base-patch16-224, or "
            f"transformers:FOLDER, a folder with {_CONFIG}"
        )
    tokens = [Path(folder, name) for name in (*_TOKENS, *_BESIDE_TOKENS)]
    return _Files(
        folder,
        tuple(_weights(folder)),
        tuple(str(path) for path in tokens if path.is_file()),
    )


@lru_cache(maxsize=4)  # each task asks for it, and the hub may change meanwhile
def _fetched(repository: str) -> str:
    """The folder of the cache with the repository's files."""
    try:
        config, _, weights, _ = hub.fetch(repository, [_CONFIG], _PICTURES, _WEIGHTS, _TOKENS)
        hub.fetch_some(repository, _BESIDE_TOKENS)
        if weights.endswith(_WEIGHTS[1]):
            hub.fetch(repository, *([name] for name in _parts(weights)))
    except ModelError as error:
        raise NotFetchedError(
            f"`transformers:{repository}`: {error}: check the name and the network, or name a folder with its files",
            None,
            has_text=True,
        ) from error
    return str(Path(config).parent)


def _weights(folder: str) -> list[str]:
    """The files of weights in a folder: one, or those that an index names."""
    whole, index = (Path(folder, name) for name in _WEIGHTS)
    if whole.is_file():
        return [str(whole)]
    return [str(Path(folder, name)) for name in _parts(str(index))]


def _parts(index: str) -> list[str]:
    try:
        names = {str(name) for name in json.loads(Path(index).read_text())["weight_map"].values()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"`{index}` is no index of weights: {one_line(error)}") from error
    if any("/" in name or not name.endswith(".safetensors") for name in names):
        raise ModelError(f"`{index}` names weights outside its folder, or none of safetensors")
    return sorted(names)


def _read(rest: str, files: _Files, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(Path(files.folder, name).read_text()))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"`transformers:{rest}`: its {name} cannot be read: {one_line(error)}"
        ) from error


@lru_cache(maxsize=4)  # each task asks for it
def _dim(rest: str, folder: str) -> int:
    """The width of the model's vectors, of a model without weights."""
    import torch
    from transformers import AutoConfig, AutoModel

    try:
        with quiet(), torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            model: Any = AutoModel.from_config(config).eval()
            if not all(hasattr(model, f"get_{side}_features") for side in ("image", "text")):
                raise ModelError(
                    f"`transformers:{rest}`: {type(model).__name__} is no model of pictures and captions: for pictures "
                    "alone write timm:MODEL"
                )
            side = config.vision_config.image_size
            vectors = _pooled(model.get_image_features(pixel_values=torch.zeros(1, 3, side, side)))
    except (*LOADING_ERRORS, AttributeError, ImportError) as error:
        raise ModelError(
            f"`transformers:{rest}`: transformers makes no model of its {_CONFIG}: {one_line(error)}"
        ) from error
    return int(vectors.shape[-1])


def _pooled(features: Any) -> torch.Tensor:
    """The vectors among what a model gives, (n, dim)."""
    vectors: torch.Tensor = getattr(features, "pooler_output", features)
    return vectors


@lru_cache(maxsize=1)
def _tokenizer(rest: str, folder: str) -> _Tokenizer:
    from transformers import AutoConfig, AutoTokenizer

    try:
        with quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (*LOADING_ERRORS, ImportError) as error:
        raise ModelError(
            f"`transformers:{rest}`: its tokenizer cannot be loaded: {one_line(error)}"
        ) from error
    most = int(config.text_config.max_position_embeddings)
    return _Tokenizer(tokenizer, min(most, int(tokenizer.model_max_length)))


def _preprocessing(rest: str, files: _Files) -> Preprocessing:
    """The preprocessing that stands beside the model, where it is one that is known here."""
    name = next(name for name in _PICTURES if Path(files.folder, name).is_file())
    values = _read(rest, files, name)
    values = values.get("image_processor", values)
    size, crop = values.get("size"), values.get("crop_size")
    try:
        _check_known(values)
        scale, shortest = _scale(size)
        cut = crop is not None and values.get("do_center_crop", True)
        if shortest and not cut:
            raise ValueError("pictures keep their shape, and are not cut")
        return Preprocessing(
            size=_square(crop) if cut else scale,
            scale=scale,
            mode="shortest" if shortest else "squash",
            interpolation=Image.Resampling(int(values["resample"])).name.lower(),
            mean=_channels(values["image_mean"]),
            std=_channels(values["image_std"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"`transformers:{rest}`: its {name} is none that is known here ({one_line(error)}): take the model from "
            "open_clip, or write an encoder of your own"
        ) from error


def _check_known(values: dict[str, Any]) -> None:
    """Raise ValueError where pictures are prepared in a way that ``Preprocessing`` does not know."""
    for name in ("do_resize", "do_rescale", "do_normalize"):
        if not values.get(name, True):
            raise ValueError(f"`{name}` is false")
    for name in ("do_pad", "do_image_splitting", "max_num_patches"):
        if values.get(name):
            raise ValueError(f"`{name}` is set")
    if abs(float(values.get("rescale_factor", 1 / 255)) * 255 - 1) > 1e-6:
        raise ValueError(f"`rescale_factor` is {values['rescale_factor']}, and not 1 / 255")


def _scale(size: Any) -> tuple[Size, bool]:
    """The size to which pictures are resized, and whether their shorter side is meant."""
    if isinstance(size, dict) and "shortest_edge" in size:
        return _square(size["shortest_edge"]), True
    return _square(size), isinstance(size, int)


def _square(size: Any) -> Size:
    if isinstance(size, dict):
        return int(size["height"]), int(size["width"])
    return int(size), int(size)


def _channels(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
