"""The job that `tamis init --input` writes, over real clip art with planted faults: sound pairs stay, faults go."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tamis.jobs.job_files.draft import fitted
from tamis.pipeline.runs import plan
from tamis.schemas.parse import parse_job
from tests.conftest import ROOT
from tests.support.running import Sample, ledger, read_tar, run_here, write_tar

CLIPART = ROOT / "jobs/examples/clipart"
SOUND = 230
PLANTED = 4
"""Samples of each fault."""


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def written(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def seen(data: bytes) -> NDArray[np.float32]:
    """A picture at 16 by 16, on white as people see it."""
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    small = Image.alpha_composite(white, image).convert("RGB").resize((16, 16))
    return np.asarray(small, dtype=np.float32).ravel()


def distinct(samples: list[Sample], count: int) -> list[Sample]:
    """The first pairs of two words or more of which no two look alike or say the same."""
    chosen: list[Sample] = []
    looks: list[NDArray[np.float32]] = []
    for sample in samples:
        words = sample.text.lower().split()
        look = seen(sample.image)
        alike = any(float(np.abs(look - other).mean()) < 12 for other in looks)
        said = any(set(words) == set(one.text.lower().split()) for one in chosen)
        if len(words) > 1 and not alike and not said:
            chosen.append(sample)
            looks.append(look)
        if len(chosen) == count:
            break
    return chosen


def changed(sample: Sample, image: bytes | None = None, text: str | None = None) -> Sample:
    return Sample(
        sample.key,
        sample.image if image is None else image,
        sample.text if text is None else text,
        {},
    )


FAULTS: dict[str, tuple[Callable[[Sample], Sample], str, str]] = {
    "tiny": (
        lambda s: changed(s, written(opened(s.image).resize((9, 9)))),
        "rules",
        "below_minimum",
    ),
    "banner": (
        lambda s: changed(s, written(opened(s.image).resize((1100, 80)))),
        "rules",
        "above_maximum",
    ),
    "copy": (lambda s: s, "exact_duplicates", "same_image"),
    "smaller copy": (
        lambda s: changed(s, written(smaller(s.image), "JPEG"), f"{s.text}."),
        "near_duplicates",
        "near_caption",
    ),
    "cut off": (lambda s: changed(s, s.image[: len(s.image) // 2]), "ingest", "truncated_image"),
    "no picture": (lambda s: changed(s, b"<html>404</html>"), "ingest", "undecodable_image"),
    "nothing said": (lambda s: changed(s, text=" \n"), "ingest", "empty_caption"),
}
"""Fault -> how a sound pair gets it, and the step and reason by which it goes."""


COPIES = ("copy", "smaller copy")
FILTERS = ("ingest", "rules", "exact_duplicates", "near_duplicates")
"""Steps that judge a pair by itself or find its copies; those below keep a share, whatever the pairs are."""


def smaller(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return white.resize((max(70, image.width * 9 // 10), max(70, image.height * 9 // 10)))


@pytest.mark.slow
def test_what_is_sound_stays_and_each_fault_goes_for_its_reason(tmp_path: Path) -> None:
    pairs = [sample for path in sorted(CLIPART.glob("*.tar")) for sample in read_tar(path)]
    sound = distinct([s for s in pairs if len(s.image) > 2_000], SOUND + PLANTED * len(FAULTS))
    assert len(sound) == SOUND + PLANTED * len(FAULTS)
    samples = {f"sound-{i:03}": sample for i, sample in enumerate(sound[:SOUND])}
    spare = sound[SOUND:]
    for number, (name, (plant, _, _)) in enumerate(FAULTS.items()):
        for i in range(PLANTED):
            source = (sound if name in COPIES else spare)[number * PLANTED + i]
            samples[f"{name}-{i}"] = plant(source)
    listed = [Sample(key, s.image, s.text, {}) for key, s in samples.items()]
    random.Random(0).shuffle(listed)
    (tmp_path / "pairs").mkdir()
    write_tar(tmp_path / "pairs/0.tar", listed)
    text = fitted([f"{tmp_path}/pairs/*.tar"]).replace("output: runs/", f"output: {tmp_path}/run/")
    job = parse_job(text, "fitted")
    run_here(plan.make(job))
    rows = {row["key"]: row for row in ledger(Path(job.output))}
    assert len(rows) == len(samples)
    originals = set()
    for number, (name, (_, step, reason)) in enumerate(FAULTS.items()):
        for i in range(PLANTED):
            fallen = rows[f"{name}-{i}"]
            if name in COPIES and fallen["step"] != step:  # its original went in its place
                key = f"sound-{number * PLANTED + i:03}"
                originals.add(key)
                fallen = rows[key]
            assert (fallen["step"], fallen["reason"]) == (step, reason), (name, i)
    lost = [
        key
        for key, row in rows.items()
        if key.startswith("sound") and key not in originals and row["step"] in FILTERS
    ]
    assert len(lost) <= 0.05 * SOUND, lost
