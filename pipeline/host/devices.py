"""Checks of the device that a job names: torch can use it, and multiplies there in full float32."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from tamis.schemas.errors import ModelError

if TYPE_CHECKING:
    import torch


def require_cuda() -> None:
    """Check that torch is installed and sees a GPU.

    Raises:
        ModelError: torch or the GPU is missing.
    """
    try:
        import torch
    except ImportError:
        raise ModelError(
            "device: cuda needs the package torch, which is missing here: install it, or set device: cpu"
        ) from None
    if not torch.cuda.is_available():
        raise ModelError("device: cuda, but torch sees no GPU here: set device: cpu")


def has_cuda() -> bool:
    """Whether torch is installed and sees a GPU."""
    try:
        require_cuda()
    except ModelError:
        return False
    return True


@cache
def prepare(device: str | None, share: float = 1.0) -> None:
    """Prepare this process for products on ``device``, and check one; with None do nothing.

    Args:
        device: its name in torch; None for work that needs no torch.
        share: the largest part of a GPU's memory that torch may take, from 0 to 1; other processes may use the rest.

    Raises:
        ModelError: as ``require_cuda``; or products are rounded to fewer bits than float32 has.
    """
    if device is None:
        return
    if device == "cuda":
        # A workspace of one size: cuBLAS may choose its kernels by the free memory.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        require_cuda()
    import torch

    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(min(1.0, float(share)))
    torch.set_float32_matmul_precision("highest")
    # TF32 keeps 10 bits behind the point: it would round these to 1, and the products to 256.
    square = torch.full((256, 256), 1.0 + 2.0**-12, device=device)
    if not is_float32(square @ square):
        raise ModelError(
            f"device: {device} rounds products to fewer bits than float32 has: unset NVIDIA_TF32_OVERRIDE, or set "
            "device: cpu"
        )


def is_float32(products: torch.Tensor) -> bool:
    """Tell whether ``prepare`` leaves products in the precision of float32."""
    return bool(((products - 256.125).abs() < 0.01).all())


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error of torch means that a GPU's memory is full."""
    message = str(error)
    is_full = "CUDA" in message and "out of memory" in message
    return is_full or "CUBLAS_STATUS_ALLOC_FAILED" in message
