"""Decoding of pictures to a model's batches: in the task's thread, in threads beside a GPU, or on other processors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np

from tamis.pipeline.encoders.preprocessing import Pixels, Preprocessing, Size
from tamis.pipeline.host.lookahead import in_order
from tamis.pipeline.inputs.images import to_rgb
from tamis.pipeline.tasks.task import Ahead

_PIECE = 8
"""Pictures that a thread decodes in one go: the first batch of a part is there as soon as all threads can have it."""


@dataclass(frozen=True)
class Decoding:
    """The settings of decoding."""

    batch_size: int
    limit: int  # pixels a picture
    shrink: bool  # large JPEGs at a half, a quarter or an eighth
    beside_gpu: bool  # a GPU is busy, and must not wait


def batches(
    pictures: Iterator[bytes], preprocessing: Preprocessing, how: Decoding, ahead: Ahead = map
) -> Iterator[Pixels]:
    """Preprocessed pictures, ``batch_size`` of them at a time, in order; few are in memory at once.

    On the CPU the task's one thread does it. Beside a GPU, threads decode the next batches: Pillow lets go of the
    interpreter. Where the job has decoding tasks, ``ahead`` gives them the batches.
    """
    cut = partial(pixels, preprocessing=preprocessing, limit=how.limit, shrink=how.shrink)
    groups = iter(lambda: list(islice(pictures, how.batch_size)), [])
    if ahead is not map or not how.beside_gpu:
        yield from ahead(cut, groups)
    else:
        yield from _by_threads(cut, groups, preprocessing.size, how.batch_size)


def _by_threads(
    cut: Callable[[list[bytes]], Pixels], groups: Iterator[list[bytes]], size: Size, rows: int
) -> Iterator[Pixels]:
    """``cut`` of each group, by as many threads as there are processors, all of them at the same batch."""
    threads = len(os.sched_getaffinity(0))

    def fill(batch: Pixels, group: list[bytes], start: int) -> None:
        batch[start : start + _PIECE] = cut(group[start : start + _PIECE])

    def begin(group: list[bytes]) -> tuple[Pixels, list[Future[None]]]:
        batch = np.empty((len(group), *size, 3), np.uint8)
        starts = range(0, len(group), _PIECE)
        return batch, [pool.submit(fill, batch, group, start) for start in starts]

    def filled(begun: tuple[Pixels, list[Future[None]]]) -> Pixels:
        batch, pieces = begun
        for piece in pieces:
            piece.result()
        return batch

    with ThreadPoolExecutor(threads) as pool:
        # Every thread has a piece, and one more is waiting for it.
        yield from in_order(begin, filled, groups, 2 + 2 * threads * _PIECE // rows)


def pixels(
    group: Sequence[bytes], preprocessing: Preprocessing, limit: int, shrink: bool = False
) -> Pixels:
    """The preprocessed pixels of pictures, stacked. Needs no model and no GPU."""
    least = preprocessing.resized_size if shrink else None
    return np.stack([preprocessing.pixels(to_rgb(data, limit, least)) for data in group])
