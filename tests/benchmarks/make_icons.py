"""A large real set for benchmarks and comparisons: 377,000 icons with their names, of the npm package @iconify/json.

    PYTHONPATH=. python -m tests.benchmarks.make_icons OUT [--package iconify-json-2.2.535.tgz] [--most 100000]

Without ``--package`` npm fetches it (100 MB). Written are ``OUT/pool/00000.tar`` and so on, 10,000 pairs each: a PNG
on white, the icon's name as caption, and a json with set, licence, category and tags; ``OUT/held/SET.tar`` of each
set of ``HELD``, of which nothing is in the pool, to measure on; and ``OUT/sets.csv``, a line a set with its licence.
Sets whose licence excludes commercial use are left out. The same package gives the same bytes, with any number of
processes. All of it takes eleven minutes of one processor and 1.5 GB.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

PACKAGE = "@iconify/json@2.2.535"
HELD = (
    "twemoji",
    "game-icons",
    "healthicons",
    "iconoir",
    "heroicons",
    "circle-flags",
    "devicon",
)
"""Sets that are held out: emoji, games, health, two of user interfaces, flags, and logos."""

A_TAR = 10_000
"""Pairs a tar of the pool."""

LONGEST = 4
"""A side is at most so many times the other."""

CHUNK = 200
"""Icons that a process renders at a time."""

Json = dict[str, Any]


class Icon(NamedTuple):
    """An icon to be rendered: its drawing, caption, and what its json says."""

    svg: str
    width: float
    height: float
    caption: str
    about: Json


class Collection(NamedTuple):
    """A set of icons. ``icons`` are those of its file that are not hidden, in its order."""

    prefix: str
    title: str
    licence: str
    url: str
    icons: list[Icon]


class Package:
    """The package's files, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sets: Json = self._read("collections.json")

    @classmethod
    @contextmanager
    def unpacked(cls, archive: str) -> Iterator[Package]:
        """The package of an archive that npm packed, as long as the context lasts."""
        with TemporaryDirectory() as folder:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            yield cls(Path(folder, "package"))

    def _read(self, name: str) -> Json:
        found: Json = json.loads((self._folder / name).read_bytes())
        return found

    def licences(self) -> dict[str, str]:
        """Set -> the licence's short name; of those for any use."""
        named = {
            prefix: str(about["license"].get("spdx") or about["license"]["title"])
            for prefix, about in self._sets.items()
        }
        return {prefix: licence for prefix, licence in named.items() if not is_restricted(licence)}

    def share(self, prefixes: Sequence[str], most: int | None) -> float:
        """The share of these sets' icons that makes about ``most`` in all; 1 for None."""
        total = sum(self._sets[prefix]["total"] for prefix in prefixes)
        return 1.0 if most is None else min(1.0, most / max(1, total))

    def collection(self, prefix: str, share: float = 1.0) -> Collection:
        """A set with a share of its icons, which their names determine."""
        about, file = self._sets[prefix], self._read(f"json/{prefix}.json")
        licence = self.licences()[prefix]
        tags: dict[str, list[str]] = {}
        for tag, names in file.get("categories", {}).items():
            for name in names:
                tags.setdefault(name, []).append(tag)
        more = {"set": prefix, "licence": licence, "category": about.get("category", "")}
        icons = [
            _icon(name, icon, file, {**more, "tags": tags.get(name, [])})
            for name, icon in file["icons"].items()
            if not icon.get("hidden") and _lot(prefix, name) < share
        ]
        url = about["license"].get("url", "")
        return Collection(prefix, about["name"], licence, url, icons)


def is_restricted(licence: str) -> bool:
    """Tell whether a licence excludes commercial use."""
    words = licence.lower().replace("-", " ").replace("_", " ").split()
    return "nc" in words or "noncommercial" in "".join(words)


def _lot(prefix: str, name: str) -> float:
    """A number in [0, 1) that belongs to an icon."""
    digest = hashlib.sha256(f"{prefix}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _icon(name: str, icon: Mapping[str, Any], file: Mapping[str, Any], about: Json) -> Icon:
    box = {
        key: icon.get(key, file.get(key, default))
        for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    }
    size = f'width="{box["width"]}" height="{box["height"]}"'
    view = f"{box['left']} {box['top']} {box['width']} {box['height']}"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {size} '
        f'viewBox="{view}" color="#222222">{icon["body"]}</svg>'
    )
    caption = name.replace("-", " ").replace("_", " ")
    return Icon(svg, box["width"], box["height"], caption, {**about, "name": name})


def rendered(icons: list[Icon], side: int) -> list[bytes | None]:
    """The PNGs of some icons, their shorter side ``side`` pixels; None where one cannot be drawn."""
    return [_png(icon, side) for icon in icons]


def _png(icon: Icon, side: int) -> bytes | None:
    import resvg_py

    if min(icon.width, icon.height) <= 0:
        return None
    longer = max(icon.width, icon.height) / min(icon.width, icon.height)
    width = side if icon.width <= icon.height or longer > LONGEST else None
    height = side if icon.height < icon.width or longer > LONGEST else None
    try:
        # Fonts differ from machine to machine; hardly any icon has text.
        png: bytes = resvg_py.svg_to_bytes(
            svg_string=icon.svg,
            background="#ffffff",
            skip_system_fonts=True,
            width=width,
            height=height,
        )
    except ValueError:
        return None
    return bytes(png)


class Tars:
    """Tars of ``A_TAR`` pairs, named by number in a folder, or by one name; closed by ``close``."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._name = folder, name
        self._tar: tarfile.TarFile | None = None
        self.pairs = 0

    def add(self, key: str, members: Mapping[str, bytes]) -> None:
        """Add a pair. Times and owners are left out, so that the bytes do not depend on who writes."""
        if self._tar is None or (self._name is None and self.pairs % A_TAR == 0):
            self.close()
            name = self._name or f"{self.pairs // A_TAR:05d}"
            self._tar = tarfile.open(self._folder / f"{name}.tar", "w")  # noqa: SIM115 - `close` does
        for suffix, data in members.items():
            info = tarfile.TarInfo(f"{key}.{suffix}")
            info.size = len(data)
            self._tar.addfile(info, io.BytesIO(data))
        self.pairs += 1

    def close(self) -> None:
        """Write the end of the tar that is open."""
        if self._tar is not None:
            self._tar.close()


def make(package: str, out: Path, most: int | None, side: int, processes: int) -> dict[str, int]:
    """Write the tars and ``sets.csv``; the numbers of pairs in the pool, held out, and of icons that cannot be drawn.

    Args:
        package: the archive.
        out: the folder that is written into.
        most: pairs in the pool, about: as large a share of every set; None for all.
        side: pixels of the shorter side of each picture.
        processes: that draw.
    """
    out.mkdir(parents=True, exist_ok=True)
    counts = {"pool": 0, "held": 0, "failed": 0}
    pool = Tars(out / "pool")
    with (
        Package.unpacked(package) as source,
        ProcessPoolExecutor(processes, get_context("spawn")) as workers,
    ):
        lines: list[list[Any]] = []
        licences = source.licences()
        share = source.share([prefix for prefix in licences if prefix not in HELD], most)
        for prefix in sorted(licences):
            where = "held" if prefix in HELD else "pool"
            found = source.collection(prefix, 1.0 if where == "held" else share)
            tars = Tars(out / "held", prefix) if where == "held" else pool
            before = counts[where]
            for icon, png in _drawn(found.icons, side, workers):
                if png is None:
                    counts["failed"] += 1
                    continue
                about = json.dumps(icon.about, sort_keys=True).encode()
                members = {"png": png, "txt": icon.caption.encode(), "json": about}
                tars.add(f"{prefix}_{tars.pairs:06d}", members)
                counts[where] += 1
            if where == "held":
                tars.close()
            pairs = counts[where] - before
            lines.append([prefix, found.title, found.licence, found.url, where, pairs])
            print(f"{prefix}: {pairs:,}, {found.licence}", flush=True)
    pool.close()
    # Last: where it is, all is.
    with open(out / "sets.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["set", "title", "licence", "licence_url", "written_to", "pairs"])
        table.writerows(lines)
    return counts


def _drawn(
    icons: list[Icon], side: int, workers: ProcessPoolExecutor
) -> Iterator[tuple[Icon, bytes | None]]:
    """Icons with their pictures, in their order."""
    chunks = [icons[start : start + CHUNK] for start in range(0, len(icons), CHUNK)]
    pictures = (png for pngs in workers.map(rendered, chunks, [side] * len(chunks)) for png in pngs)
    return zip(icons, pictures, strict=True)


def fetched(folder: Path) -> str:
    """The path of the package's archive, which npm fetches into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return str(folder / done.stdout.split()[-1])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--package", help="the archive that `npm pack` made")
    parser.add_argument("--most", type=int, help="pairs in the pool, about: a share of every set")
    parser.add_argument("--side", type=int, default=64, help="pixels of the shorter side")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    package = args.package or fetched(args.out)
    counts = make(package, args.out, args.most, args.side, args.processes)
    print(", ".join(f"{name} {count:,}" for name, count in counts.items()))


if __name__ == "__main__":
    main()
