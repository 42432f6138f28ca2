"""From pictures' bytes to the batches that a model takes: here, in threads beside a GPU, or on other processors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt

from pipeline.ahead import in_order
from pipeline.encoders.preprocessing import Preprocessing
from pipeline.formats.images import to_rgb
from pipeline.phases import TaskIo

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


def batches(
    io: TaskIo, pictures: Iterator[bytes], preprocessing: Preprocessing
) -> Iterator[Floats]:
    """Preprocessed pictures, ``batch_size`` of them at a time, in order; few are held decoded.

    On the CPU the task's one thread does it. Beside a GPU, which must not wait, threads decode the next batches:
    Pillow lets go of the interpreter. Where the job has decoding tasks (``TaskIo.ahead``), it is done by those.
    """
    limit, size = io.task.places["max_pixels"], io.args["batch_size"]
    shrink = io.args.get("decoder") == "shrink"
    cut = partial(pixels, preprocessing=preprocessing, limit=limit, shrink=shrink)
    groups = iter(lambda: list(islice(pictures, size)), [])

    def ready(group: Sequence[bytes]) -> Floats:
        return preprocessing.normalise(cut(group))

    if io.ahead is not map:  # a byte a value crosses the network, and becomes four when it is here
        yield from map(preprocessing.normalise, io.ahead(cut, groups))
    elif io.args["device"] == "cpu":
        yield from map(ready, groups)
    else:
        threads = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads) as pool:
            yield from in_order(lambda g: pool.submit(ready, g), Future.result, groups, threads)


def pixels(
    group: Sequence[bytes], preprocessing: Preprocessing, limit: int, shrink: bool = False
) -> Bytes:
    """Pictures' bytes to their pixels (n, height, width, 3). It needs no model, and may run where there is no GPU."""
    least = preprocessing.least if shrink else None
    return np.stack([preprocessing.pixels(to_rgb(data, limit, least)) for data in group])
