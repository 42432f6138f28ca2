"""The way from metadata to pictures with img2dataset itself, from a server of this machine: every pair keeps its uid.

img2dataset lies in an environment of its own, which `make peers` makes; without it nothing is tested here.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.export.export import export
from tamis.pipeline.audit.reading.finished_run import open_run
from tests.benchmarks._peers import interpreter
from tests.conftest import ROOT
from tests.support.running import ledger, make_plan, read_tar, run_here
from tests.support.web import served

PYTHON = interpreter("img2dataset")
PAIRS = 24


def commands() -> list[str]:
    """The words of the command in docs/export.md."""
    text = (ROOT / "docs/export.md").read_text()
    command = next(block for block in text.split("```") if "img2dataset --url_list" in block)
    line = command.replace("\\\n", "").split("img2dataset --url_list chosen ")[1].splitlines()[0]
    return shlex.split(line)


@pytest.mark.slow
@pytest.mark.skipif(PYTHON is None, reason="img2dataset is not installed: make peers")
@pytest.mark.parametrize("handed", ["the export", "the shards"])
@pytest.mark.parametrize("layout", ["webdataset", "parquet"])
def test_what_it_downloads_of_a_subset_has_the_same_uids(
    tmp_path: Path, handed: str, layout: str
) -> None:
    assert PYTHON is not None
    real = list(read_tar(ROOT / "jobs/examples/clipart/00000.tar"))[:PAIRS]
    files = {f"/{i}.png": sample.image for i, sample in enumerate(real) if i != 5}
    with served(files) as (address, _):
        table = {
            "URL": [f"{address}{i}.png" for i in range(PAIRS)],
            "TEXT": [f"{sample.text} of the clip art" for sample in real],
            "LICENSE": ["CC0"] * PAIRS,
        }
        pq.write_table(pa.table(table), tmp_path / "laion.parquet")
        steps = "- signals: [words]\n- random: {keep: 16}\n- write"
        run_here(make_plan(tmp_path / "metadata", tmp_path / "laion.parquet", steps))
        chosen = {row["text"]: row for row in ledger(tmp_path / "metadata") if row["kept"]}
        handed_over = tmp_path / "metadata/shards"
        if handed == "the export":
            handed_over = tmp_path / "chosen"
            export(
                open_run(str(tmp_path / "metadata")), "img2dataset", str(handed_over), "kept", None
            )
        words = commands()
        words[words.index("--output_format") + 1] = layout
        words[words.index("--output_folder") + 1] = str(tmp_path / "pictures")
        words += ["--processes_count", "1", "--thread_count", "2"]
        subprocess.run(
            [str(PYTHON.parent / "img2dataset"), "--url_list", str(handed_over), *words],
            check=True,
            capture_output=True,
            env=os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"},
        )
    ending = "tar" if layout == "webdataset" else "parquet"
    run_here(make_plan(tmp_path / "again", tmp_path / f"pictures/*.{ending}", "- write"))
    rows = [row for row in ledger(tmp_path / "again") if row["kept"]]
    lost = {row["text"] for row in chosen.values() if row["url"].endswith("/5.png")}
    assert {row["text"] for row in rows} == chosen.keys() - lost
    for row in rows:
        assert (row["uid"], row["url"]) == (chosen[row["text"]]["uid"], chosen[row["text"]]["url"])
