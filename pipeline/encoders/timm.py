"""Models of timm, for pictures alone: ``timm:MODEL`` or ``timm:MODEL@CHECKPOINT``.

Without a checkpoint the weights come from the Hugging Face hub or its cache. The vector is the output
of the model without its classifier, such as DINOv2's class token.
"""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any

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
from tamis.pipeline.encoders.towers import Towers, to_inference
from tamis.schemas.errors import ModelError, NotFetchedError

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

_MODES = {"center": "shortest", "squash": "squash", "border": "longest"}


def describe(rest: str, precision: Precision) -> Description:
    """Describe ``timm:rest``; the weights of a name are fetched, but not loaded.

    Raises:
        ModelError: timm, the model, its weights or the checkpoint file is missing.
    """
    import_timm()
    import timm
    import torch

    name, weights = _find(rest)
    with torch.device("meta"):  # shapes alone
        model = timm.create_model(name, num_classes=0)
    preprocessing = _preprocessing(model)
    identity = fingerprint("timm", [weights], preprocessing, model=name, precision=precision)
    return Description(_dim(model), False, identity, preprocessing)


def load(rest: str, device: str, precision: Precision) -> Towers:
    """Load the model with its weights.

    Raises:
        ModelError: as ``describe``, or the checkpoint does not fit the model.
    """
    description = describe(rest, precision)
    import timm

    name, weights = _find(rest)
    try:
        # With its classifier: without, timm leaves random weights where the checkpoint has none.
        model: Any = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay={"file": weights}
        )
    except LOADING_ERRORS as error:
        raise checkpoint_error(weights, name, error) from error
    model.reset_classifier(0)
    return Towers(description, device, precision, to_inference(model, device, precision))


def import_timm() -> None:
    """Make ``import timm`` work.

    Raises:
        ModelError: timm is not installed.
    """
    require("timm", "timm", "timm")
    ensure_torchvision()


def _find(rest: str) -> tuple[str, str]:
    """Name of the model and path of its weights file."""
    import timm
    from timm.models import get_pretrained_cfg

    name, _, checkpoint = rest.partition("@")
    if not timm.is_model(name.partition(".")[0]):
        matches = difflib.get_close_matches(name, timm.list_models(), 3)
        hint = f": did you mean {' or '.join(matches)}?" if matches else ""
        raise ModelError(f"timm has no model `{name}`{hint}")
    try:
        config = get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ModelError(f"timm has no weights `{name}`: {one_line(error)}") from error
    if not checkpoint:
        return name, _fetch(name, config)
    if not os.path.isfile(checkpoint):
        raise ModelError(f"no checkpoint file `{checkpoint}` for timm's {name}")
    return name, checkpoint


def _fetch(name: str, config: PretrainedCfg | None) -> str:
    import timm
    from huggingface_hub import hf_hub_download

    remedy = f"name a local checkpoint: timm:{name}@path/to/model.safetensors"
    if config is None or not config.hf_hub_id:
        raise ModelError(f"timm {timm.__version__} knows no weights for `{name}`; {remedy}")
    try:
        with quiet():
            file = config.hf_hub_filename or "model.safetensors"
            return str(hf_hub_download(config.hf_hub_id, file))
    except (OSError, ValueError) as error:
        raise NotFetchedError(
            f"cannot fetch timm's {name} ({one_line(error)}); {remedy}", None, has_text=False
        ) from error


def _dim(model: Any) -> int:
    return int(getattr(model, "head_hidden_size", None) or model.num_features)


def _preprocessing(model: Any) -> Preprocessing:
    from timm.data.config import resolve_model_data_config

    values = resolve_model_data_config(model)
    height, width = values["input_size"][1:]
    share = values["crop_pct"]
    return Preprocessing(
        size=(height, width),
        scale=(int(height // share), int(width // share)),
        mode=_MODES[values["crop_mode"]],  # type: ignore[arg-type]
        interpolation=values["interpolation"],
        mean=tuple(values["mean"]),
        std=tuple(values["std"]),
        fill=tuple(round(255 * value) for value in values["mean"]),
    )
