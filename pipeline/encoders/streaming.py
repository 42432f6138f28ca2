"""Copies to and from a device while it computes earlier batches.

A GPU that takes eight milliseconds for a batch must not wait for copies. A picture is copied as bytes, a quarter of the
model's input, from pinned memory on a stream of its own, and becomes numbers on the GPU; vectors are copied back into
pinned memory, and are read while a later batch is on its way.

Kernels are launched one by one, without a CUDA graph. Three batches are requested ahead, so that launching should cost
the GPU no time while a batch computes for longer than its launches take (a few hundred, of some microseconds each).
`tests/benchmarks/gpu.py` measures it against a captured graph of the same model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.encoders.preprocessing import Pixels
from tamis.pipeline.host.lookahead import in_order

if TYPE_CHECKING:
    import torch

Work = Callable[["torch.Tensor"], "torch.Tensor"]
Transfer = tuple["torch.Tensor", Callable[[], None]]
"""Vectors in the processor's memory, and a call that waits until their copy is complete."""

_AHEAD = 3
"""Batches on their way: one is copied, one is computed, one is read."""


def stream(device: str, batches: Iterable[Pixels], work: Work) -> Iterator[NDArray[np.float32]]:
    """Results of ``work``, float32 (rows, dim), on every batch of one shape, in order, computed on ``device``."""
    yield from in_order(_Streams(device, work).begin, _read, batches, _AHEAD)


def send(values: torch.Tensor, device: str) -> torch.Tensor:
    """``values`` on ``device``: a copy that does not block."""
    return values if device == "cpu" else values.pin_memory().to(device, non_blocking=True)


def _read(transfer: Transfer) -> NDArray[np.float32]:
    vectors, wait = transfer
    wait()
    return np.array(vectors.numpy())


class _Streams:
    """The streams of a device; on the CPU the same work in the same order, without overlap."""

    def __init__(self, device: str, work: Work) -> None:
        import torch

        self._device, self._work = torch.device(device), work
        self._cuda = self._device.type == "cuda"
        self._copies = torch.cuda.Stream(self._device) if self._cuda else None

    def begin(self, batch: Pixels) -> Transfer:
        """Request the copy of a batch, its computation and the copy of its vectors back, without waiting."""
        import torch

        pinned = torch.empty(batch.shape, dtype=torch.uint8, pin_memory=self._cuda)
        pinned.numpy()[...] = batch
        if self._copies is None:
            return self._work(pinned.to(self._device)).cpu(), lambda: None
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._copies):
            pixels = pinned.to(self._device, non_blocking=True)
        computing.wait_stream(self._copies)
        # The next copy must not reuse the memory before the computation has read it.
        pixels.record_stream(computing)
        vectors = self._work(pixels)
        copy = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
        copy.copy_(vectors, non_blocking=True)
        end = torch.cuda.Event()
        end.record(computing)
        return copy, end.synchronize
