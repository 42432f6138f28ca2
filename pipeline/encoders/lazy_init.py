"""Construction of a model without random weights, which a checkpoint will replace: to draw them takes longest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_RANDOM = {
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    torch.nn.init.normal_,
    torch.nn.init.uniform_,
    torch.nn.init.kaiming_uniform_,
}


class SkipRandomInit(TorchFunctionMode):
    """Leaves tensors uninitialised inside the block instead of drawing random numbers.

    Only for models whose parameters are all loaded afterwards.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, or return its tensor as it is if ``func`` would draw random numbers."""
        named = kwargs or {}
        if func in _RANDOM:
            return args[0] if args else named["tensor"]
        return func(*args, **named)
