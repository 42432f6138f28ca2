"""A finished run whose files have changed is mended as `tamis verify` says: remove them, and run again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

STEPS = "- signals: [words]\n- rules: {words: {min: 1}}\n- write: {samples_per_shard: 4}"
FILES = (
    "shards/00000.tar",
    "shards/00000.parquet",
    "ledger/*.parquet",
    "ledger_index/*.parquet",
    "tables/signals/values/*.parquet",
    "subset.npy",
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    samples = [Sample(f"k{i}", picture(i * 999), "two words", {}) for i in range(10)]
    run_here(make_plan(folder / "run", write_tar(folder / "in/0.tar", samples), STEPS))
    return folder


@pytest.mark.parametrize("name", FILES)
def test_what_verify_names_is_removed_and_made_again(
    name: str, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(sound / "run", run)
    before = contents(run)
    path = next(run.glob(name))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(run), "--deep"])
    assert ended.value.code == 1
    *faults, _, advice = capsys.readouterr().out.splitlines()
    assert advice.startswith("next: remove the files of the run that are named")
    named = {fault.partition(": ")[0] for fault in faults}
    assert str(path.relative_to(run)) in named
    for file in named:
        (run / file).unlink(missing_ok=True)
    run_here(make_plan(run, sound / "in/0.tar", STEPS))
    after = contents(run)
    for part in ("shards/", "ledger", "subset.npy", "tables/"):
        one, other = (
            {file: data for file, data in side.items() if file.startswith(part)}
            for side in (before, after)
        )
        assert one == other
