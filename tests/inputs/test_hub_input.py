"""Data sets of a hub, `hf://`: read as any other input; a hub that is not there, or has not the set, is one line."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tests.conftest import ROOT
from tests.support.hub import hub
from tests.support.running import ledger, picture

SET = "hf://datasets/people/pairs"

CALLS = """
import contextlib, io, json, sys
from tamis.jobs.cli.app import main
for arguments in json.loads(sys.argv[1]):
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, out.getvalue(), error.getvalue()]))
"""


def called(address: str, folder: Path, *calls: list[str]) -> list[tuple[int, str, str]]:
    """Code, output and errors of calls of tamis in a process of their own, which reads the address as it begins."""
    environment = os.environ | {
        "HF_ENDPOINT": address,
        "HF_HOME": str(folder / "home"),
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-c", CALLS, json.dumps(calls)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def parquet(start: int) -> bytes:
    """Three pairs as the hub's data sets have them."""
    images = [{"bytes": picture(start + i), "path": f"{i}.png"} for i in range(3)]
    texts = [f"picture number {start + i}" for i in range(3)]
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": images, "caption": texts}), buffer)
    return buffer.getvalue()


@pytest.mark.slow
def test_a_data_set_of_a_hub_is_read(tmp_path: Path) -> None:
    files = {f"data/train-0000{i}-of-00002.parquet": parquet(3 * i) for i in range(2)}
    (tmp_path / "job.yaml").write_text(
        f"name: a\ninput: {SET}\noutput: {tmp_path}/run\nsteps: [signals: [words], write]\n"
    )
    with hub({**files, "README.md": b"# Pairs"}) as (address, _):
        looked, ran, nothing, nobody, short = called(
            address,
            tmp_path,
            ["init", "-", "--input", f"{SET}/data/*.parquet"],
            ["run", str(tmp_path / "job.yaml"), "--local", "--progress", "none"],
            ["plan", "demo", "--input", f"{SET}/tars/*.tar", "--output", "x"],
            ["plan", "demo", "--input", "hf://datasets/people/none/*.tar", "--output", "x"],
            ["plan", "demo", "--input", "hf://datasets", "--output", "x"],
        )
    assert looked[0] == 0, looked
    assert "2 files" in looked[1]
    assert "image is image, text is caption" in looked[1]
    assert ran[0] == 0, ran
    rows = ledger(tmp_path / "run")
    assert sorted(row["text"] for row in rows if row["kept"]) == [
        f"picture number {i}" for i in range(6)
    ]
    assert {row["source"] for row in rows} == {f"input/{name}" for name in files}
    assert "matches nothing: the nearest directory is" in nothing[2]
    assert "which holds README.md, data" in nothing[2]
    assert "matches nothing: no part of the path exists, or the login has no" in nobody[2]
    assert "cannot open `hf://datasets`: " in short[2]
    assert [one[0] for one in (nothing, nobody, short)] == [2] * 3
    assert [one[2].count("\n") for one in (nothing, nobody, short)] == [1] * 3


def test_a_hub_where_nothing_listens_is_one_line(tmp_path: Path) -> None:
    calls = (["init", "-", "--input", SET], ["plan", "demo", "--input", SET, "--output", "x"])
    for code, out, error in called("http://127.0.0.1:9", tmp_path, *calls):
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert f"`{SET}`: cannot be reached (" in error
        assert "check the network and the address" in error


@pytest.mark.parametrize(
    ("address", "package"),
    [
        ("hf://datasets/a/b/*.parquet", "huggingface_hub"),
        ("s3://bucket/*.tar", "'tamis[s3]'"),
        ("gs://bucket/*.tar", "gcsfs"),
        ("abfs://bucket/*.tar", "adlfs"),
    ],
)
def test_a_store_without_its_client_says_what_to_install(
    address: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("huggingface_hub", "s3fs", "gcsfs", "adlfs"):
        for name in [n for n in sys.modules if n.split(".")[0] == module]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)
    known = importlib.import_module("fsspec.registry")
    for name in list(known._registry):
        monkeypatch.delitem(known._registry, name)
    with pytest.raises(
        InputError, match=f": pip install {package.replace('[', r'.').replace(']', '.')}$"
    ):
        storage.filesystem(address)


def test_a_file_of_a_hub_that_is_written_again_has_another_stamp() -> None:
    info = {"name": "x", "size": 5, "type": "file", "blob_id": "abc"}
    assert storage._stamp(info) != storage._stamp({**info, "blob_id": "abd"})
