"""Seconds of audits of a run of many parts: ``python -m tests.benchmarks.audit_parts 1000 10000``.

A part has four rows, so that what grows is what parts cost. Each question is a process of its own, as a command is;
its processor time counts, and that of ``--help`` is what a command costs that reads nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.running import make_plan, run_here

ROWS = 4

STEPS = """
  - signals: [words]
  - rules: {words: {min: 3}}
  - exact_duplicates: {on: url_text}
  - write: {format: parquet}
"""

QUESTIONS = {
    "help": ["--help"],
    "explain": ["explain", "RUN", "{uid}"],
    "audit": ["audit", "RUN"],
    "audit --by source": ["audit", "RUN", "--by", "source"],
    "whatif": ["whatif", "RUN", "--set", "rules.words.min=4"],
    "plan": ["plan", "RUN/job.yaml"],
}


def made(folder: Path, parts: int) -> str:
    """A finished run of so many parts in ``run``; returns the uid of one of its samples."""
    rows = parts * ROWS
    uid = [f"{i:032x}" for i in range(rows)]
    text = [f"a picture of {i % 97} {'and more' if i % 3 else ''}" for i in range(rows)]
    url = [f"http://x/{i}" for i in range(rows)]
    table = pa.table({"uid": uid, "url": url, "text": text})
    pq.write_table(table, folder / "in.parquet")
    run_here(make_plan(folder / "run", folder / "in.parquet", STEPS, part_samples=ROWS))
    return uid[rows // 2]


def seconds(words: list[str]) -> float:
    """Processor seconds of a command."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "tamis.jobs", *words], check=True, capture_output=True)
    after = os.times()
    return sum(after[i] - before[i] for i in (2, 3))


def main(sizes: list[int]) -> None:
    """A line of JSON a size."""
    for parts in sizes:
        with tempfile.TemporaryDirectory(prefix="tamis-audits-") as folder:
            uid = made(Path(folder), parts)
            found = {}
            for name, words in QUESTIONS.items():
                run = f"{folder}/run"
                asked = [word.replace("RUN", run).format(uid=uid) for word in words]
                found[name] = round(seconds(asked), 2)
            print(json.dumps({"parts": parts, **found}), flush=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])
