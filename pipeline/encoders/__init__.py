"""Encoders of pictures and texts as vectors of unit norm. A new one is a file and a line in ``ENCODERS``.

An encoder's module has ``describe(rest, precision) -> Description`` and
``load(rest, device, precision) -> Encoder``, where ``rest`` is the text behind the scheme. A class of the user's own
(``own.py``) comes as an ``Own`` in the place of the text.
"""

from __future__ import annotations

import importlib
from typing import Any, get_args

from tamis.pipeline.encoders import hub, own
from tamis.pipeline.encoders.base import Description, Encoder, Precision, one_line
from tamis.pipeline.encoders.own import Own
from tamis.pipeline.host.devices import require_cuda
from tamis.schemas.errors import ModelError, NotFetchedError

ENCODERS = {
    "open_clip": "tamis.pipeline.encoders.open_clip",
    "timm": "tamis.pipeline.encoders.timm",
    "transformers": "tamis.pipeline.encoders.transformers",
    "precomputed": "tamis.pipeline.encoders.precomputed",
    "demo": "tamis.pipeline.encoders.demo",
}
"""Scheme -> module, imported at its first use."""

FORMS = (
    "open_clip:MODEL/PRETRAINED, open_clip:hf-hub:OWNER/NAME, timm:MODEL, "
    "transformers:OWNER/NAME, precomputed, demo or {file: my.py, name: Mine}"
)


NOT_FETCHED = "not fetched"
"""The fingerprint of an encoder whose weights are not on this machine, where nothing is to be fetched."""


def describe(spec: str | Own, precision: Precision = "fp32") -> Description:
    """Describe the encoder ``spec`` without loading its weights.

    Raises:
        ModelError: there is no such encoder, or its package, name or weights are missing.
    """
    if isinstance(spec, Own):
        return own.describe(spec, _check(precision))
    module, rest = _resolve(spec)
    try:
        description: Description = module.describe(rest, _check(precision))
    except NotFetchedError as error:
        if hub.fetches():
            raise
        return Description(error.dim, error.has_text, NOT_FETCHED, None)
    return description


def load(spec: str | Own, device: str = "cpu", precision: Precision = "fp32") -> Encoder:
    """Load the encoder ``spec`` with its weights on ``device``: ``cpu`` or ``cuda``.

    Raises:
        ModelError: as ``describe``; or the device is missing, or lacks the precision.
        PlugInError: a class of the user's own fails.
    """
    if device == "cpu" and precision == "fp16":
        raise ModelError("precision: fp16 needs a GPU: set fp32 or bf16 on the CPU")
    if device not in {"cpu", "cuda"}:
        raise ModelError(f"no device `{device}`: set cpu or cuda")
    if device == "cuda":
        _prepare_gpu()
    if isinstance(spec, Own):
        return own.load(spec, device, _check(precision))
    module, rest = _resolve(spec)
    encoder: Encoder = module.load(rest, device, _check(precision))
    return encoder


def _resolve(spec: str) -> tuple[Any, str]:
    scheme, _, rest = spec.partition(":")
    if scheme not in ENCODERS:
        raise ModelError(f"no encoder `{spec}`: write {FORMS}")
    try:
        return importlib.import_module(ENCODERS[scheme]), rest
    except ImportError as error:
        raise ModelError(f"encoder `{scheme}` cannot be imported: {one_line(error)}") from error


def _check(precision: Precision) -> Precision:
    if precision not in get_args(Precision):
        raise ModelError(f"no precision `{precision}`: set one of {', '.join(get_args(Precision))}")
    return precision


def _prepare_gpu() -> None:
    require_cuda()
    import torch

    torch.backends.cudnn.benchmark = False  # it would choose kernels by a race
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False  # full float32 in convolutions too
