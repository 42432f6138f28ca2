"""How many captions a second the signals without a model measure, on one core: one by one, and all in one step.

The captions are drawn from those of the example data. By processor time.

    PYTHONPATH=. python tests/benchmarks/signals.py --captions 40000
"""

from __future__ import annotations

import argparse
import random
import time

from tamis.pipeline.signals.caption_words import by_block
from tamis.pipeline.signals.kinds import TextSignal
from tamis.pipeline.signals.registry import SIGNALS
from tests.benchmarks._steps import EXAMPLES, members

MODEL_FREE = {
    name: signal
    for name, signal in SIGNALS.items()
    if isinstance(signal, TextSignal) and not signal.packages
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


def main() -> None:
    """One line a signal, and one for all of them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--captions", type=int, default=40_000)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    texts = captions(given.captions)
    length = sum(map(len, texts)) / len(texts)
    print(f"{len(texts):,} captions of {length:.0f} characters; captions a second on one core")
    for name in MODEL_FREE:
        print(f"{name:22}{rate([name], texts, given.rounds):12,.0f}")
    print(f"{'all together':22}{rate(list(MODEL_FREE), texts, given.rounds):12,.0f}")


if __name__ == "__main__":
    main()
