"""Lists as they are searched: by keys, or by pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.exclusion import addresses, members
from tamis.pipeline.algorithms.exclusion.near_hashes import Nearest
from tamis.pipeline.inputs.formats import PICTURE_COLUMNS
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.exclude import entries
from tamis.pipeline.steps.exclude.config import On
from tamis.pipeline.steps.exclude.run_entries import KeptPictures
from tamis.pipeline.steps.exclude.second_look import Opened, SecondLook
from tamis.pipeline.steps.shared.details import details_of
from tamis.pipeline.tables.columns import byte_rows, uid_words

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bounds:
    """How far a picture may differ from a listed one."""

    within: int  # bits of the perceptual hash
    difference: float  # of the layouts
    detail: float | None  # of the small cells; None: no picture is opened
    max_pixels: int


class Found(NamedTuple):
    """Samples that stand in a list."""

    row: Ints  # positions among those that were looked up, ascending
    entry: Ints  # positions in the list
    bits: Ints | None  # in which perceptual hashes differ
    said: list[str | None]  # the entry, where the sample does not say it by itself


class Lookup(Protocol):
    """A list, ready to be searched."""

    def find(self, samples: pa.Table, file: InputFile | None) -> Found:
        """The samples, of a file, that stand in the list."""


class Keys:
    """A list of keys: a sample stands in it if one of its own is there."""

    def __init__(self, table: pa.Table, on: On) -> None:
        self._on = on
        self._listed = members.keys(byte_rows(table["key"]).tobytes())

    def find(self, samples: pa.Table, file: InputFile | None) -> Found:
        """The samples whose key, or one of whose domains, is listed; of several the longest."""
        del file
        own, keys, said = self._own(samples.column(0).to_pylist())
        place = members.positions(self._listed, members.keys(b"".join(keys)))
        hits = np.flatnonzero(place >= 0)
        _, first = np.unique(own[hits], return_index=True)
        hits = hits[first]
        return Found(own[hits], place[hits], None, [said[hit] for hit in hits.tolist()])

    def _own(self, values: list[Any]) -> tuple[Ints, list[bytes], list[str | None]]:
        """The row of each key, the keys, and the domain that each stands for."""
        own: list[int] = []
        keys: list[bytes] = []
        said: list[str | None] = []
        known: dict[str, list[tuple[str, bytes]]] = {}
        for row, value in enumerate(values):
            if self._on != "domain":
                key = entries.stored_key(self._on, value)
                made: list[tuple[str | None, bytes]] = [] if key is None else [(None, key)]
            else:
                host = addresses.host_of(value) if value else ""
                if host not in known:  # many samples of a part share theirs
                    above = addresses.suffixes(host) if host else []
                    known[host] = [(name, entries.text_key(name)) for name in above]
                made = list(known[host])
            own += [row] * len(made)
            keys += [key for _, key in made]
            said += [name for name, _ in made]
        return np.array(own, np.int64), keys, said


class Pictures:
    """A list of perceptual hashes: hashes propose, layouts decide, and small cells where both pictures can be opened.

    Args:
        table: of schema HASHES.
        bounds: see there.
        kept: what opens the listed pictures; None: they are not opened.
    """

    def __init__(self, table: pa.Table, bounds: Bounds, kept: KeptPictures | None) -> None:
        self._hashes, self._bounds = table["phash"].to_numpy(), bounds
        known = not table["layout"].null_count
        layouts = byte_rows(table["layout"]) if known else None
        self._nearest = Nearest(self._hashes, layouts, bounds.within, bounds.difference)
        if kept is not None:
            sid = table["sid"].to_numpy()
            self._pixels = uid_words(table["pixels"])[:, 0]
            self._listed = Opened(lambda entry: kept.details(sid[entry]))
        self._opens = kept is not None

    def find(self, samples: pa.Table, file: InputFile | None) -> Found:
        """The samples whose picture is like a listed one."""
        row = np.flatnonzero(samples["phash"].is_valid().to_numpy())
        some = samples.take(pa.array(row)).combine_chunks()
        look = self._look(some, file) if self._opens and file is not None else None
        entry, bits = self._nearest.find(some["phash"].to_numpy(), byte_rows(some["layout"]), look)
        hit = np.flatnonzero(entry >= 0)
        said: list[str | None] = [f"{value:016x}" for value in self._hashes[entry[hit]].tolist()]
        return Found(row[hit], entry[hit], bits[hit], said)

    def _look(self, some: pa.Table, file: InputFile) -> SecondLook:
        """What compares samples of one part with listed pictures."""
        bound, most = self._bounds.detail, self._bounds.max_pixels
        assert bound is not None
        places = some.select(PICTURE_COLUMNS)
        own = Opened(lambda row: details_of(file, places.take(pa.array(row)), most))
        pixels = uid_words(some["pixels"])[:, 0]
        return SecondLook(bound, own, self._listed, pixels, self._pixels)
