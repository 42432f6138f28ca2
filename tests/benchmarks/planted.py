"""What each duplicate step finds of planted copies: recall and precision by kind of damage.

For each kind of damage a set is made of real clip art and one damaged copy of each picture (or caption). A copy is
found if it and its original end in one group. The found copies whose partner is of another picture count against
precision. The clip art has near-duplicates of its own (flags, letters): what each step drops among the
originals alone is printed beside, and is part of every false partner.

With ``--pairs`` each copy is compared with its original alone: whether the hash of `near_pictures` proposes the pair,
whether the layouts agree, and whether the details do.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tamis.pipeline.algorithms.near_pictures import details, layouts
from tamis.pipeline.inputs.detail import detail_of
from tamis.pipeline.inputs.images import MAX_PIXELS, inspect
from tamis.pipeline.steps.duplicates.near_pictures.config import NearPictures
from tests.support.duplicates import jaccard
from tests.support.running import Sample, ledger, make_plan, read_tar, run_here, write_tar

CLIPART = Path(__file__).resolve().parents[2] / "jobs" / "examples" / "clipart"

Damage = Callable[[Sample, random.Random], Sample]
PICTURES = {
    "same pixels": "exact_duplicates: {on: pixels}",
    "hash, 4 bits": "near_pictures: {hamming: 4}",
    "hash, 8 bits": "near_pictures: {hamming: 8}",
    "embedding, .07": "semantic_duplicates: {clusters: 1, epsilon: 0.07}",
    "embedding, .03": "semantic_duplicates: {clusters: 1, epsilon: 0.03}",
}
CAPTIONS = {
    "caption": "near_duplicates: {agree: none}",
    "caption and hash": "near_duplicates: {agree: phash}",
}


def drawn(sample: Sample) -> Image.Image:
    """On white, as ingest sees it."""
    image = Image.open(io.BytesIO(sample.image)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def shown(sample: Sample, image: Image.Image) -> Sample:
    """The sample with another picture, without further loss."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return dataclasses.replace(sample, image=out.getvalue())


def repacked(sample: Sample, _: random.Random) -> Sample:
    """Other bytes, the same pixels, transparent ones too."""
    return shown(sample, Image.open(io.BytesIO(sample.image)))


def encoded(quality: int) -> Damage:
    """Through JPEG."""

    def damage(sample: Sample, _: random.Random) -> Sample:
        out = io.BytesIO()
        drawn(sample).save(out, "JPEG", quality=quality)
        return shown(sample, Image.open(io.BytesIO(out.getvalue())))

    return damage


def resized(share: float) -> Damage:
    """Both sides multiplied."""

    def damage(sample: Sample, _: random.Random) -> Sample:
        image = drawn(sample)
        size = max(1, round(image.width * share)), max(1, round(image.height * share))
        return shown(sample, image.resize(size, Image.Resampling.LANCZOS))

    return damage


def cropped(sample: Sample, draw: random.Random) -> Sample:
    """A twentieth of each side is lost, somewhere."""
    image = drawn(sample)
    width, height = (max(1, round(side * 0.95)) for side in image.size)
    left, top = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
    return shown(sample, image.crop((left, top, left + width, top + height)))


def reworded(sample: Sample, draw: random.Random) -> Sample:
    """One word becomes another of the same length."""
    words = sample.text.split()
    place = draw.randrange(len(words))
    words[place] = "".join(draw.choice("bcdfgklmnprst") for _ in words[place])
    return dataclasses.replace(sample, text=" ".join(words))


def swapped(sample: Sample, draw: random.Random) -> Sample:
    """Two neighbouring words change places."""
    words = sample.text.split()
    if len(words) > 1:
        place = draw.randrange(len(words) - 1)
        words[place : place + 2] = words[place + 1], words[place]
    return dataclasses.replace(sample, text=" ".join(words))


KINDS: dict[str, tuple[Damage, dict[str, str]]] = {
    "packed again": (repacked, PICTURES),
    "JPEG, quality 90": (encoded(90), PICTURES),
    "JPEG, quality 60": (encoded(60), PICTURES),
    "JPEG, quality 30": (encoded(30), PICTURES),
    "resized to 75%": (resized(0.75), PICTURES),
    "resized to 50%": (resized(0.5), PICTURES),
    "cropped by 5%": (cropped, PICTURES),
    "one word changed": (reworded, CAPTIONS),
    "two words swapped": (swapped, CAPTIONS),
}


def judged(rows: list[dict[str, Any]]) -> tuple[float, float, int]:
    """Recall, precision, and the originals that another original's group dropped."""
    family = {row["uid"]: row["key"].removesuffix("-copy") for row in rows}
    group = {row["uid"]: row["survivor_uid"] or row["uid"] for row in rows}
    original = {row["key"]: row["uid"] for row in rows}
    copies = [row for row in rows if row["key"].endswith("-copy")]
    found = [row for row in copies if group[row["uid"]] == group[original[family[row["uid"]]]]]
    partners = [
        family[row["uid"]] == family[row["partner_uid"]] for row in rows if row["partner_uid"]
    ]
    precision = sum(partners) / len(partners) if partners else float("nan")
    natural = {family[uid] for uid in group} - {family[one] for one in group.values()}
    return len(found) / len(copies), precision, len(natural)


def measure(originals: list[Sample], damage: Damage, steps: dict[str, str]) -> Iterator[str]:
    """One column of the table after another."""
    draw = random.Random(7)
    copies = [
        dataclasses.replace(damage(sample, draw), key=f"{sample.key}-copy") for sample in originals
    ]
    with tempfile.TemporaryDirectory(prefix="tamis-planted-") as name:
        tar = write_tar(Path(name) / "a.tar", originals + copies)
        for step in steps.values():
            before = "  - embed: {encoder: demo}\n" if step.startswith("semantic") else ""
            run_here(make_plan(Path(name) / "run", tar, f"{before}  - {step}"))
            recall, precision, natural = judged(ledger(Path(name) / "run"))
            yield f"{recall:6.1%} {precision:6.1%} {natural:4}"


def compared(
    originals: list[Sample], damage: Damage, detail: float | None
) -> tuple[float, float, float]:
    """Shares of the copies that hash, hash and layout, and all three of `near_pictures` find near the original.

    ``detail``: in the place of its default.
    """
    given, draw = NearPictures(), random.Random(7)
    pairs = [(sample.image, damage(sample, draw).image) for sample in originals]
    pictures = [inspect(data) for data in (*(a for a, _ in pairs), *(b for _, b in pairs))]
    both = [
        np.frombuffer(b"".join(rows), np.uint8).reshape(len(pictures), -1)
        for rows in (
            [picture.layout for picture in pictures],
            [detail_of(data, MAX_PIXELS) for side in zip(*pairs, strict=True) for data in side],
        )
    ]
    a = np.arange(len(pairs))
    b = a + len(pairs)
    hashes = np.array([picture.phash for picture in pictures], np.uint64)
    proposed = np.bitwise_count(hashes[a] ^ hashes[b]) <= given.hamming
    alike = proposed & (layouts.difference(both[0], a, b) <= given.difference)
    found = alike & (details.difference(both[1], a, b) <= (detail or given.detail or 0.0))
    return float(proposed.mean()), float(alike.mean()), float(found.mean())


def print_pairs(originals: list[Sample], detail: float | None) -> None:
    """A row a kind of damage."""
    print(f"{len(originals)} originals, each beside its copy: hash, and layout, and detail")
    for kind, (damage, steps) in KINDS.items():
        if steps is PICTURES:
            shares = "".join(f"{share:9.1%}" for share in compared(originals, damage, detail))
            print(f"{kind:20}{shares}", flush=True)


def main() -> None:
    """Print a table for pictures and one for captions: recall, precision, originals dropped for others."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--originals", type=int, default=200)
    options.add_argument("--folder", type=Path, default=CLIPART, help="of webdataset tars")
    options.add_argument("--pairs", action="store_true", help="near_pictures alone, pair by pair")
    options.add_argument("--detail", type=float, help="bound of details, with --pairs")
    given = options.parse_args()
    samples = [s for path in sorted(given.folder.glob("*.tar")) for s in read_tar(path)]
    originals = random.Random(1).sample(samples, min(given.originals, len(samples)))
    if given.pairs:
        print_pairs(originals, given.detail)
        return
    print(f"{len(originals)} originals and a copy of each: recall, precision, originals dropped")
    shown_before: dict[str, str] = {}
    for kind, (damage, steps) in KINDS.items():
        if steps is not shown_before:
            print(" " * 20 + "".join(f"{name:>22}" for name in steps))
            shown_before = steps
        columns = "".join(f"{column:>22}" for column in measure(originals, damage, steps))
        print(f"{kind:20}{columns}", flush=True)
        if steps is CAPTIONS:
            draw = random.Random(7)
            alike = [jaccard(s.text, damage(s, draw).text) >= 0.8 for s in originals]
            print(f"{'':20}{sum(alike) / len(alike):.1%} of the copies have a true Jaccard of .8")


if __name__ == "__main__":
    main()
