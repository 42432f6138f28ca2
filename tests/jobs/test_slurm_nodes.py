"""``deploy/slurm.sh`` over two real Ray nodes of this machine: Slurm's own commands alone have stand-ins."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tamis.schemas.parse import dump
from tests.conftest import ROOT
from tests.jobs.test_slurm import SCRIPT
from tests.support.ray_cluster import free_ports
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

STEPS = "- signals: [words]\n- rules: {words: {min: 1}}\n- write: {samples_per_shard: 4}"

RAY = ["--object-store-memory=80000000", "--include-dashboard=false"]
"""What is said to a Ray node beside what the script says: two of them share a machine here."""

STAND_INS = {
    # Both nodes are this machine.
    "scontrol": "echo 127.0.0.1; echo other",
    # A step begins a process of its own, as Slurm's do. Its options end where the command begins.
    "srun": 'while [[ $1 == --* ]]; do shift; done; echo "$*" >> HERE/steps; exec setsid --wait "$@"',
    "ray": """
case "$*" in
  *--head*) more="--temp-dir=HERE/r --node-ip-address=127.0.0.1 OPTIONS"; log=head ;;
  *--address=*) more="OBJECTS --node-ip-address=127.0.0.1"; log=node ;;
  *) exec PYTHON -m ray.scripts.scripts "$@" ;;
esac
exec PYTHON -m ray.scripts.scripts "$@" $more >> HERE/$log 2>&1""",
    "tamis": 'PYTHON -m tamis.jobs "$@"',
    "scancel": ":",
    # Where the script gives nodes time to come, they get the time that they take.
    "sleep": """
[[ $1 == 20 ]] && until grep -q 'Ray runtime started' HERE/node; do /bin/sleep 0.2; done
exec /bin/sleep 0.2""",
}  # fmt: skip


@pytest.fixture
def surroundings(short_folder: Path) -> Iterator[dict[str, str]]:
    """The variables that Slurm sets, and its commands; what they have started ends with the test."""
    commands = short_folder / "bin"
    commands.mkdir()
    words = {"HERE": str(short_folder), "PYTHON": shlex.quote(sys.executable)}
    words |= {"OPTIONS": shlex.join(RAY), "OBJECTS": shlex.quote(RAY[0])}
    for name, body in STAND_INS.items():
        filled = re.sub("|".join(words), lambda found: words[found[0]], body)
        (commands / name).write_text(f"#!/bin/bash\n{filled}\n")
        (commands / name).chmod(0o755)
    yield {
        **os.environ,
        "PATH": f"{commands}:{os.environ['PATH']}",
        # The script makes a port of it.
        "SLURM_JOB_ID": str(free_ports(1)[0] % 20000),
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "1",
        "RAY_raylet_start_wait_time_s": "240",
    }
    for process in psutil.process_iter(["cmdline"]):
        if any(str(short_folder) in word for word in process.info["cmdline"] or ()):
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder of a short name, as Ray's sockets need it."""
    with tempfile.TemporaryDirectory(prefix="s", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_job_over_two_nodes_makes_the_bytes_of_one_process(
    surroundings: dict[str, str], short_folder: Path
) -> None:
    samples = [Sample(f"k{i}", picture(i * 999), "two words", {"n": i}) for i in range(20)]
    made = [write_tar(short_folder / f"in/{n}.tar", samples[n::4]) for n in range(4)]
    run_here(make_plan(short_folder / "sound", made[0].parent / "*.tar", STEPS))
    plan = make_plan(short_folder / "run", made[0].parent / "*.tar", STEPS)
    (short_folder / "job.yaml").write_text(dump(plan.job))
    with open(short_folder / "said", "wb") as said:
        process = subprocess.Popen(
            ["bash", str(SCRIPT), str(short_folder / "job.yaml"), "--set", "name=test"],
            cwd=ROOT,
            env=surroundings,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            code = process.wait(800)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    told = (short_folder / "said").read_text()
    assert code == 0, told
    steps = (short_folder / "steps").read_text().splitlines()
    assert sum(step.startswith("ray start") for step in steps) == 2
    assert "Ray runtime started" in (short_folder / "node").read_text()
    for name in ("shards", "ledger", "ledger_index"):
        assert contents(short_folder / "run" / name) == contents(short_folder / "sound" / name)
