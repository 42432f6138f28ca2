"""Models of timm, for pictures alone: ``timm:MODEL`` or ``timm:MODEL@CHECKPOINT``.

Without a checkpoint the weights come from the Hugging Face hub, or from that hub's cache. The vector
is what the model gives with its classifier removed, such as DINOv2's class token.
"""

from __future__ import annotations

import difflib
import os
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
from tamis.pipeline.encoders.towers import Towers, ready
from tamis.schemas.errors import ModelError

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

_MODES = {"center": "shortest", "squash": "squash", "border": "longest"}


def describe(rest: str, precision: Precision) -> Description:
    """What ``timm:rest`` is; fetches the weights of a name, but does not load them.

    Raises:
        ModelError: timm, the model, its weights or the checkpoint file is missing.
    """
    import_timm()
    import timm
    import torch

    name, weights = _source(rest)
    with torch.device("meta"):  # shapes alone
        model = timm.create_model(name, num_classes=0)
    preprocessing = _preprocessing(model)
    identity = fingerprint("timm", [weights], preprocessing, model=name, precision=precision)
    return Description(_dim(model), False, identity, preprocessing)


def load(rest: str, device: str, precision: Precision) -> Towers:
    """The model with its weights.

    Raises:
        ModelError: as ``describe``, or the checkpoint does not fit the model.
    """
    described = describe(rest, precision)
    import timm

    name, weights = _source(rest)
    try:
        # With its classifier: without, timm leaves at random what the checkpoint does not have.
        model: Any = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay={"file": weights}
        )
    except LOADING_ERRORS as error:
        raise misfit(weights, name, error) from error
    model.reset_classifier(0)
    return Towers(described, device, precision, ready(model, device, precision))


def import_timm() -> None:
    """Make ``import timm`` work.

    Raises:
        ModelError: it is not installed.
    """
    require("timm", "timm", "timm")
    ensure_torchvision()


def _source(rest: str) -> tuple[str, str]:
    """The model's name, and the file of its weights."""
    import timm
    from timm.models import get_pretrained_cfg

    name, _, checkpoint = rest.partition("@")
    if not timm.is_model(name.partition(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models(), 3)
        hint = f": did you mean {' or '.join(near)}?" if near else ""
        raise ModelError(f"timm has no model `{name}`{hint}")
    try:
        config = get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ModelError(f"timm has no weights `{name}`: {one_line(error)}") from error
    if not checkpoint:
        return name, _fetched(name, config)
    if not os.path.isfile(checkpoint):
        raise ModelError(f"no checkpoint file `{checkpoint}` for timm's {name}")
    return name, checkpoint


def _fetched(name: str, config: PretrainedCfg | None) -> str:
    import timm
    from huggingface_hub import hf_hub_download

    mend = f"name a local checkpoint: timm:{name}@path/to/model.safetensors"
    if config is None or not config.hf_hub_id:
        raise ModelError(f"timm {timm.__version__} knows no weights for `{name}`; {mend}")
    try:
        with quiet():
            file = config.hf_hub_filename or "model.safetensors"
            return str(hf_hub_download(config.hf_hub_id, file))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot fetch timm's {name} ({one_line(error)}); {mend}") from error


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
