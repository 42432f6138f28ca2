"""Encoders: pictures and texts to vectors of unit norm. A new one is a file and a line in ``ENCODERS``.

An encoder's module has ``describe(rest, precision) -> Description`` and
``load(rest, device, precision) -> Encoder``, where ``rest`` is what stands after the scheme.
"""

from __future__ import annotations

import importlib
from typing import Any, get_args

from tamis.pipeline.encoders.base import Description, Encoder, Precision, one_line
from tamis.pipeline.host.devices import require_cuda
from tamis.schemas.errors import ModelError

ENCODERS = {
    "open_clip": "tamis.pipeline.encoders.open_clip",
    "timm": "tamis.pipeline.encoders.timm",
    "precomputed": "tamis.pipeline.encoders.precomputed",
    "demo": "tamis.pipeline.encoders.demo",
}
"""Scheme -> module, imported when it is asked for."""

FORMS = "open_clip:MODEL/PRETRAINED, timm:MODEL, precomputed or demo"


def describe(spec: str, precision: Precision = "fp32") -> Description:
    """What the encoder ``spec`` is, without loading its weights.

    Raises:
        ModelError: one line: no such encoder, or its package, name or weights are missing.
    """
    module, rest = _resolve(spec)
    described: Description = module.describe(rest, _checked(precision))
    return described


def load(spec: str, device: str = "cpu", precision: Precision = "fp32") -> Encoder:
    """The encoder with its weights, on ``device``: ``cpu`` or ``cuda``.

    Raises:
        ModelError: as ``describe``; or the device is missing, or cannot do the precision.
    """
    module, rest = _resolve(spec)
    if device == "cpu" and precision == "fp16":
        raise ModelError("precision: fp16 needs a GPU: take fp32 or bf16 on the CPU")
    if device not in {"cpu", "cuda"}:
        raise ModelError(f"device `{device}`: cpu or cuda")
    if device == "cuda":
        _ready_gpu()
    encoder: Encoder = module.load(rest, device, _checked(precision))
    return encoder


def _resolve(spec: str) -> tuple[Any, str]:
    scheme, _, rest = spec.partition(":")
    if scheme not in ENCODERS:
        raise ModelError(f"no encoder `{spec}`: write {FORMS}")
    try:
        return importlib.import_module(ENCODERS[scheme]), rest
    except ImportError as error:
        raise ModelError(f"encoder `{scheme}` cannot be imported: {one_line(error)}") from error


def _checked(precision: Precision) -> Precision:
    if precision not in get_args(Precision):
        raise ModelError(f"precision `{precision}`: one of {', '.join(get_args(Precision))}")
    return precision


def _ready_gpu() -> None:
    require_cuda()
    import torch

    torch.backends.cudnn.benchmark = False  # it picks kernels by racing them
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False  # fp32 is no shorter in a convolution than in a product
