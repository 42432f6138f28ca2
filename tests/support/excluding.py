"""What the tests of `exclude` share: samples with addresses of many kinds, and runs with that step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.pictures import encode, noise
from tests.support.running import Sample, ledger, make_plan, run_here, write_tar

URLS = [
    "https://a.example.org/0.png",
    "http://example.org/1.png",
    "https://example.com/2.png?size=1",
    "https://badexample.org/3.png",
    "https://b\u00fccher.example/4.png",
    None,
    "https://192.0.2.7/6.png",
    "https://example.net/7.png",
]


def sample(number: int) -> Sample:
    fields: dict[str, Any] = {"uid": f"{number:032x}", "tag": f"t{number % 3}"}
    if URLS[number] is not None:
        fields["url"] = URLS[number]
    return Sample(f"k{number}", encode(noise(seed=number)), f"Caption  no {number}", fields)


SAMPLES = [sample(number) for number in range(len(URLS))]


def run(
    folder: Path, settings: str, before: str = "", samples: Sequence[Sample] = SAMPLES
) -> list[dict[str, Any]]:
    """The ledger of a run whose one step of interest is `exclude`, over the samples in two files."""
    if not (folder / "in").exists():
        write_tar(folder / "in/0.tar", samples[:5])
        write_tar(folder / "in/1.tar", samples[5:])
    steps = f"{before}\n- exclude: {settings}\n- write"
    run_here(make_plan(folder / "run", folder / "in/*.tar", steps, part_samples=3))
    return ledger(folder / "run")


def left_out(rows: Sequence[dict[str, Any]]) -> list[int]:
    return [int(row["uid"], 16) for row in rows if row["step"] == "exclude"]


def other_run(folder: Path, samples: Sequence[Sample], steps: str = "- write") -> Path:
    write_tar(folder / "other-in/0.tar", samples)
    run_here(make_plan(folder / "other", folder / "other-in/0.tar", steps, part_samples=2))
    return folder / "other"
