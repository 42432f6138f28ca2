"""Whether torch can work here on the device that a job names; and that it multiplies there in full float32."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from tamis.schemas.errors import ModelError

if TYPE_CHECKING:
    import torch


def has_cuda() -> None:
    """Torch is there, and sees a GPU.

    Raises:
        ModelError: one line: what is missing.
    """
    try:
        import torch
    except ImportError:
        raise ModelError(
            "device: cuda needs the package torch, which is missing here: install it, or set device: cpu"
        ) from None
    if not torch.cuda.is_available():
        raise ModelError("device: cuda, but torch sees no GPU here: set device: cpu")


@cache
def ready(device: str | None, share: float = 1.0) -> None:
    """This process is about to multiply on ``device``; None is for what needs no torch.

    Args:
        device: as torch names it.
        share: of a GPU's memory, which torch then lets it have at most: others may work there too.

    Raises:
        ModelError: as ``has_cuda``; or products come out as of shorter numbers than float32.
    """
    if device is None:
        return
    if device == "cuda":
        # A workspace of one size: cuBLAS may choose its kernels by what memory there is.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        has_cuda()
    import torch

    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(min(1.0, float(share)))
    torch.set_float32_matmul_precision("highest")
    # In TF32, which keeps 10 bits behind the point, these would be ones, and the products 256.
    square = torch.full((256, 256), 1.0 + 2.0**-12, device=device)
    if not in_full(square @ square):
        raise ModelError(
            f"device: {device} multiplies in shorter numbers than float32: unset NVIDIA_TF32_OVERRIDE, or set "
            "device: cpu"
        )


def in_full(products: torch.Tensor) -> bool:
    """Whether the products of ``ready`` are those of float32."""
    return bool(((products - 256.125).abs() < 0.01).all())


def is_full(error: RuntimeError) -> bool:
    """Whether it is how torch says that a GPU's memory is full."""
    said = str(error)
    return ("CUDA" in said and "out of memory" in said) or "CUBLAS_STATUS_ALLOC_FAILED" in said
