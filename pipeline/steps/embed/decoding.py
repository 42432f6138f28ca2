"""Decoding of pictures to a model's batches: in the task's thread, in threads beside a GPU, or on other processors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np

from tamis.pipeline.encoders.preprocessing import Pixels, Preprocessing
from tamis.pipeline.host.lookahead import in_order
from tamis.pipeline.inputs.images import to_rgb
from tamis.pipeline.tasks.task import Ahead


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
        threads = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads) as pool:
            yield from in_order(lambda g: pool.submit(cut, g), Future.result, groups, threads)


def pixels(
    group: Sequence[bytes], preprocessing: Preprocessing, limit: int, shrink: bool = False
) -> Pixels:
    """The preprocessed pixels of pictures, stacked. Needs no model and no GPU."""
    least = preprocessing.resized_size if shrink else None
    return np.stack([preprocessing.pixels(to_rgb(data, limit, least)) for data in group])
