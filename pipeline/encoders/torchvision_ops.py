"""Make ``import torchvision`` work beside a CPU-only torch; open_clip, timm and transformers need it.

Wheels of torchvision for another torch do not load their compiled operators, and then fail while they
register two of them: ``operator torchvision::nms does not exist``. No encoder calls these operators, so
it is enough to declare their names.
"""

from __future__ import annotations

import importlib
import sys

_MISSING = ("nms", "qnms")
_declared: list[object] = []  # torch forgets the names when the library object is collected


def ensure_torchvision() -> None:
    """Import torchvision; if that fails for lack of ``nms``, declare it and import again.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: the import fails for another reason.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declare()
        importlib.import_module("torchvision")


def _declare() -> None:
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # left by the failed import
    library = torch.library.Library("torchvision", "DEF")
    for name in _MISSING:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
