"""``deploy/slurm.sh`` with stand-ins for Slurm's commands: what it starts, and how it ends when the time is up."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "slurm.sh"

STAND_INS = {
    "scontrol": "echo node1; echo node2",
    # Its options end where the command begins.
    "srun": 'log "srun cpus=$SRUN_CPUS_PER_TASK $*"; while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "ray": """
case $1 in
  start) log "ray $*"; [[ -e fails ]] && exit 3; exec /bin/sleep 30 ;;
  health-check) echo . >> asked; [[ ! -e fails && $(wc -l < asked) -ge 3 ]] && log up ;;
esac""",
    "tamis": """
log "tamis $*"
trap '/bin/sleep 0.5; log "in order"; exit 130' TERM
touch running
for _ in $(seq 100); do /bin/sleep 0.1; done""",
    "scancel": 'log "scancel $*"',
    "sleep": "exec /bin/sleep 0.05",
}


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The script, as Slurm would begin it on two nodes; what it has started ends with the test."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, body in STAND_INS.items():
        path = commands / name
        path.write_text(f'#!/bin/bash\nlog() {{ echo "$1" >> said; }}\n{body}\n')
        path.chmod(0o755)
    slurm = {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "41",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "32",
        "SLURM_GPUS_ON_NODE": "4",
    }
    if "fails" in os.environ.get("PYTEST_CURRENT_TEST", ""):
        (tmp_path / "fails").touch()
    process = subprocess.Popen(
        ["bash", str(SCRIPT), "job.yaml", "--set", "density.keep=0.3"],
        cwd=tmp_path,
        env={**os.environ, **slurm},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def test_when_the_time_is_up_the_run_is_told_and_waited_for(
    started: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    while not (tmp_path / "running").exists():
        assert started.poll() is None
        time.sleep(0.05)
    started.send_signal(signal.SIGTERM)
    assert started.wait(180) == 130
    said = (tmp_path / "said").read_text().splitlines()
    run = "tamis run job.yaml --set density.keep=0.3 --address node1:20041 --progress lines"
    order = ["up", run, "in order", "scancel --signal=TERM --quiet 41"]
    assert [line for line in said if line in order] == order
    steps = [line for line in said if line.startswith("srun")]
    assert all(line.startswith("srun cpus=32 ") for line in steps)
    heads, workers = (
        [line for line in said if line.startswith("ray start") and ("--head" in line) is head]
        for head in (True, False)
    )
    assert heads == ["ray start --head --block --port=20041 --num-cpus=32 --num-gpus=4"]
    assert workers == ["ray start --block --address=node1:20041 --num-cpus=32 --num-gpus=4"]


def test_a_head_that_fails_ends_it(started: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert started.wait(180) != 0
    assert not (tmp_path / "running").exists()
