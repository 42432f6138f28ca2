"""The command itself, in a process of its own, on Ray and without: stopped from the keyboard, resumed, and done."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

STEPS = """
  - signals: [words, blur]
  - rules: {words: {min: 2}}
  - exact_duplicates: {on: image}
  - write: {samples_per_shard: 10}
"""


def command(*arguments: str) -> list[str]:
    code = "from tamis.jobs.cli.app import main; main()"
    return [sys.executable, "-c", code, *arguments]


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["ray", "local"])
def test_stopped_and_resumed_it_ends_as_if_never_stopped(executor: str, tmp_path: Path) -> None:
    words = ["one", "two words", "and three words"]
    for number in range(3):
        samples = [
            Sample(f"{number}-{k}", picture(k % 17), words[k % 3], {"url": f"u{k}"})
            for k in range(30)
        ]
        write_tar(tmp_path / "data" / f"{number}.tar", samples)
    pattern = tmp_path / "data" / "{0..2}.tar"
    job = tmp_path / "job.yaml"
    job.write_text(f"name: test\ninput: [{{path: '{pattern}'}}]\noutput: unset\nsteps:\n{STEPS}")
    asked = command(
        *("run", str(job), "--output", str(tmp_path / "asked"), "--cpus", "1", f"--{executor}")
    )

    with subprocess.Popen(
        [*asked, "--progress", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if (
                '"PhaseStarted"' in line
            ):  # early: on a busy machine the whole run takes no longer than to read a line
                running.send_signal(signal.SIGINT)
                break
        rest = running.stderr.read()
        assert running.wait() == 130
    assert rest.endswith("tamis: stopped; the same command resumes\n")
    assert "Traceback" not in rest

    done = subprocess.run([*asked, "--json"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["rows_in"] == 90 == told["kept"] + told["dropped"]
    events = [
        json.loads(line) for line in (tmp_path / "asked" / "events.jsonl").read_text().splitlines()
    ]
    assert {e["executor"] for e in events if e["event"] == "RunStarted"} == {executor}
    assert [e["ended"] for e in events if e["event"] == "RunEnded"] == ["stopped", "finished"]

    run_here(make_plan(tmp_path / "here", pattern, STEPS))
    for folder in ("ledger", "ledger_index", "shards"):
        assert contents(tmp_path / "asked" / folder) == contents(tmp_path / "here" / folder)
    for name in ("manifest.json", "subset.npy"):
        assert (tmp_path / "asked" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_a_local_run_imports_no_ray_and_its_driver_no_torch(tmp_path: Path) -> None:
    samples = [Sample(str(k), picture(k), "two words", {}) for k in range(4)]
    tar = write_tar(tmp_path / "0.tar", samples)
    job = tmp_path / "job.yaml"
    job.write_text(
        f"name: test\ninput: [{{path: '{tar}'}}]\noutput: {tmp_path}/run\nsteps:\n{STEPS}"
    )
    code = (
        "import sys\nfrom tamis.jobs.cli.app import main\n"
        "try:\n    main()\nfinally:\n    print(sorted({'ray', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(job), "--local", "--cpus", "1", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert json.loads(done.stdout.rpartition("[]")[0])["computed"] > 0
