"""Jobs with functions of a user's own, written as files beside the run."""

from __future__ import annotations

from pathlib import Path

from tamis.pipeline.runs import plan
from tests.support.running import make_plan


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def steps(folder: Path, *names: str) -> str:
    """The job's steps for functions ``file.function``, each file beside letters.py."""
    entries = [name.partition(".") for name in names]
    written = ", ".join(
        f"{{file: {folder}/{file}.py, name: {name}, with: [{folder}/letters.py]}}"
        for file, _, name in entries
    )
    return f"  - signals: [words, {written}]\n"


def one(folder: Path, source: str, tar: Path, name: str = "vowels") -> plan.Plan:
    """A job with one function of the file ``my.py``."""
    write(folder, my=source, letters="VOWELS = 'aeiou'")
    return make_plan(folder / "run", tar, steps(folder, f"my.{name}"))
