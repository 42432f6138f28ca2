"""What the signals without a model take on one core: captions a second, and of pictures the share of ingest's time.

Each by itself, and all in one step. Captions and pictures are those of the example data, or of ``--tars``. By processor
time; a picture's signals and its ingest (hash, decoding, hash of the pixels, looks) take turns.

    PYTHONPATH=. python tests/benchmarks/signals.py --captions 40000 --pictures 300
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Sequence
from hashlib import sha256
from itertools import islice, product
from pathlib import Path

from threadpoolctl import threadpool_limits

from tamis.pipeline.inputs.images import Opened, inspect
from tamis.pipeline.inputs.tar.webdataset import IMAGE_SUFFIXES
from tamis.pipeline.inputs.thumbnails import looks
from tamis.pipeline.signals.caption_words import by_block
from tamis.pipeline.signals.kinds import PictureSignal, TextSignal
from tamis.pipeline.signals.registry import SIGNALS
from tests.benchmarks._steps import EXAMPLES, members

MODEL_FREE = {
    name: signal
    for name, signal in SIGNALS.items()
    if isinstance(signal, TextSignal) and not signal.packages
}

OF_PICTURES = {
    name: signal for name, signal in SIGNALS.items() if isinstance(signal, PictureSignal)
}


def captions(count: int) -> list[str]:
    """Captions of the example data in a fixed order, every seventh with an accent."""
    texts = [
        data.decode()
        for name, data in members(sorted(EXAMPLES.glob("*.tar")))
        if name.endswith(".txt")
    ]
    rng = random.Random(0)
    made = rng.choices(texts, k=count)
    return [f"Caf\u00e9 {text}" if number % 7 == 0 else text for number, text in enumerate(made)]


def rate(names: list[str], texts: list[str], rounds: int) -> float:
    """Captions a second of the fastest of ``rounds``."""
    functions = {name: MODEL_FREE[name].load() for name in names}
    seconds = []
    for _ in range(rounds + 1):  # the first fills caches
        started = time.process_time()
        by_block(texts, functions)
        seconds.append(time.process_time() - started)
    return len(texts) / min(seconds[1:])


def pictures(tars: Sequence[Path], count: int) -> list[bytes]:
    """The first pictures."""
    ends = tuple(f".{suffix}" for suffix in IMAGE_SUFFIXES)
    found = (data for name, data in members(tars) if name.endswith(ends))
    return [*islice(found, count)]


def shares(data: list[bytes], rounds: int) -> dict[str, float]:
    """Signal -> its time over that of ingest; each decodes by itself, "all together" once for all."""
    functions = {name: signal.load() for name, signal in OF_PICTURES.items()}
    sets = {"": [], **{name: [name] for name in functions}, "all together": [*functions]}
    seconds = dict.fromkeys(sets, math.inf)
    for _, (name, chosen) in product(range(rounds), sets.items()):
        started = time.process_time()
        if name:
            for one in data:
                opened = Opened(one)
                for signal in chosen:
                    functions[signal](opened)
        else:
            looks([(sha256(one).digest(), inspect(one).thumbnails)[1] for one in data])
        seconds[name] = min(seconds[name], time.process_time() - started)
    ingest = seconds.pop("")
    return {"ingest, us a picture": ingest / len(data) * 1e6} | {
        name: taken / ingest for name, taken in seconds.items()
    }


def main() -> None:
    """One line a signal, and one for all of them; captions, then pictures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--captions", type=int, default=40_000)
    options.add_argument("--pictures", type=int, default=300)
    options.add_argument("--tars", type=Path, nargs="*", default=sorted(EXAMPLES.glob("*.tar")))
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    texts = captions(given.captions)
    length = sum(map(len, texts)) / len(texts)
    print(f"{len(texts):,} captions of {length:.0f} characters; captions a second on one core")
    for name in MODEL_FREE:
        print(f"{name:22}{rate([name], texts, given.rounds):12,.0f}")
    print(f"{'all together':22}{rate(list(MODEL_FREE), texts, given.rounds):12,.0f}")
    data = pictures(given.tars, given.pictures)
    print(f"{len(data):,} pictures; time of a signal over ingest's")
    with threadpool_limits(1):
        for name, share in shares(data, given.rounds).items():
            print(f"{name:22}{share:12,.2f}")


if __name__ == "__main__":
    main()
