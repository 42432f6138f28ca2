"""Pictures on their way to a device while it computes those before them.

A GPU that takes eight milliseconds for a batch must wait for no copy. A picture travels as bytes, a quarter of what
the model takes, from pinned memory on a stream of its own, and becomes numbers there; vectors come back into
pinned memory, and are read when a later batch is already on its way.

Kernels are launched one by one, no CUDA graph is captured: three batches are asked for ahead, so that launching should
cost the GPU nothing while a batch computes for longer than its launches take (a few hundred, of some microseconds
each). `tests/benchmarks/gpu.py` measures whether it does: its ceiling is the same model captured.
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
Returned = tuple["torch.Tensor", Callable[[], None]]
"""Vectors in the processor's memory, and a call that waits until they are there."""

_BEGUN = 3
"""Batches: one that is copied, one that is computed, one that is read."""


def through(device: str, batches: Iterable[Pixels], work: Work) -> Iterator[NDArray[np.float32]]:
    """``work`` over every batch, uint8 tensors of one shape on ``device``; float32 (rows, dim) of each, in order."""
    lane = _Lane(device, work)
    yield from in_order(lane.begin, _read, batches, _BEGUN)


def sent(values: torch.Tensor, device: str) -> torch.Tensor:
    """``values`` on their way to ``device``, which nobody waits for."""
    return values if device == "cpu" else values.pin_memory().to(device, non_blocking=True)


def _read(returned: Returned) -> NDArray[np.float32]:
    vectors, wait = returned
    wait()
    return np.array(vectors.numpy())


class _Lane:
    """The streams of one device; without a GPU the same work in the same order, one after another."""

    def __init__(self, device: str, work: Work) -> None:
        import torch

        self._device, self._work = torch.device(device), work
        self._cuda = self._device.type == "cuda"
        self._copies = torch.cuda.Stream(self._device) if self._cuda else None

    def begin(self, batch: Pixels) -> Returned:
        """Send a batch, compute it and have its vectors sent back: all of it asked for, nothing waited for."""
        import torch

        held = torch.empty(batch.shape, dtype=torch.uint8, pin_memory=self._cuda)
        held.numpy()[...] = batch
        if self._copies is None:
            return self._work(held.to(self._device)).cpu(), lambda: None
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._copies):
            there = held.to(self._device, non_blocking=True)
        computing.wait_stream(self._copies)
        # Its memory is not given to the next copy before it was read.
        there.record_stream(computing)
        found = self._work(there)
        back = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
        back.copy_(found, non_blocking=True)
        done = torch.cuda.Event()
        done.record(computing)
        return back, done.synchronize
