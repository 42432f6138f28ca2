"""What a whole run over tars cannot do without, whoever does it: straight loops, and nothing around them.

Every tar walked, every byte hashed, every picture decoded once; the pairs that the run embeds decoded again, scaled,
and put through bare towers; the bytes of what it keeps copied. What rules, captions, clusters and the ledger take has
no floor, and counts as nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import torch

from tamis.pipeline import encoders
from tamis.pipeline.encoders.towers import Towers
from tests.benchmarks import write
from tests.benchmarks._steps import samples
from tests.benchmarks._table import race
from tests.benchmarks.embed import Floor, bare, through
from tests.benchmarks.ingest import straight
from tests.support.tables import files

EMBEDDED = 320
"""Pairs that are embedded at most: every so-manieth of the input, and their time is scaled."""


class Floors:
    """Of one finished run of a chain with the encoder `demo`.

    Args:
        tars: folder of the inputs.
        root: the run.
        scratch: a file to write to.
    """

    def __init__(self, tars: Path, root: Path, scratch: Path) -> None:
        self._tars = sorted(tars.glob("*.tar"))
        self._kept = write.ranges(root, tars)
        self._scratch = scratch
        vectors = files(root, "embed", "vectors")
        embedded = sum(pq.read_metadata(path).num_rows for path in vectors)
        known = samples(self._tars)
        some = known[:: -(-len(known) // EMBEDDED)]
        self._scale = embedded / len(some)
        encoder = encoders.load("demo")
        assert isinstance(encoder, Towers)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self._floor = Floor(encoder, bare("demo", tars), some)
        torch.set_num_threads(threads)

    def seconds(self) -> tuple[float, float]:
        """Processor seconds with open_clip's towers, and with the encoder's own."""
        works: dict[str, Callable[[], object]] = {
            "walk": lambda: [*map(straight, self._tars)],
            "copy": lambda: write.copy(self._kept, self._scratch, hashed=False),
            "decode": self._floor.decode,
            "theirs": partial(through, self._floor.theirs),
            "own": partial(through, self._floor.ours),
        }
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        took = {name: seconds for name, (seconds,) in race(works, 1).items()}
        torch.set_num_threads(threads)
        around = took["walk"] + took["copy"] + self._scale * took["decode"]
        return around + self._scale * took["theirs"], around + self._scale * took["own"]
