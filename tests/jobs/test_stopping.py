"""Ctrl-C and SIGTERM at any moment of a run: one line, an exit code, no lease, no process left; then resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tamis.pipeline.store.lease import FILE as LEASE
from tests.conftest import ROOT
from tests.support.running import Sample, ledger, picture, write_tar

pytestmark = pytest.mark.slow

STEPS = "[{signals: [words]}, {rules: {words: {min: 2}}}, write]"
MARK = "TAMIS_TEST_STOPPING"
"""A variable that every process of a run inherits, Ray's too."""

LIMIT = 180.0
"""Seconds: Ray takes its time to start on a busy machine. A run that takes longer says where it stands, and ends."""


@dataclass
class Running:
    """A run that is on its way; ``seen``: all that it has written."""

    output: Path
    process: subprocess.Popen[str]
    mark: str
    seen: list[str] = field(default_factory=list)

    def family(self) -> list[psutil.Process]:
        """Every process that descends from it, or did."""
        found = []
        for process in psutil.process_iter():
            try:
                # A zombie has ended: who should wait for it is gone, or is what runs in the container.
                ended = process.status() == psutil.STATUS_ZOMBIE
                if not ended and process.environ().get(MARK) == self.mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def named(self, name: str) -> bool:
        """Whether a child of it runs that program."""
        try:
            return any(
                name in child.name() for child in psutil.Process(self.process.pid).children()
            )
        except psutil.Error:
            return False


def starting(running: Running) -> None:
    """It holds the lease; Ray is about to be imported."""
    until((running.output / LEASE).exists)


def beginning(running: Running) -> None:
    """Ray's first server is there, its node is not."""
    until(lambda: running.named("gcs_server"))


def half_there(running: Running) -> None:
    """Its node is coming up."""
    until(lambda: running.named("raylet"))


def forked(running: Running) -> None:
    """Workers without Ray are there."""
    until(lambda: len(running.family()) > 2)


def at_work(running: Running) -> None:
    """A task has ended."""
    assert running.process.stderr is not None
    for line in running.process.stderr:
        running.seen.append(line)
        if '"TaskDone"' in line:
            return


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not there():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    for number in range(3):
        samples = [
            Sample(f"{number}-{k}", picture(k), "two words" if k % 3 else "one", {})
            for k in range(9)
        ]
        write_tar(tmp_path / "data" / f"{number}.tar", samples)
    path = tmp_path / "job.yaml"
    pattern = tmp_path / "data" / "*.tar"
    path.write_text(
        f"name: test\ninput: [{{path: '{pattern}'}}]\noutput: {tmp_path}/run\nsteps: {STEPS}\n"
    )
    return path


def begun(job: Path, executor: str) -> Running:
    """The run, which says where it stands should it last too long."""
    code = f"import faulthandler\nfaulthandler.dump_traceback_later({LIMIT - 10}, exit=True)\n"
    code += "from tamis.jobs.cli.app import main\nmain()"
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", code, "run", str(job), f"--{executor}"),
            *("--cpus", "1", "--progress", "json"),
        ],
        cwd=ROOT,
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Running(job.parent / "run", process, mark)


@pytest.mark.parametrize(
    ("executor", "moment", "numbers"),
    [
        ("ray", starting, [signal.SIGINT]),
        ("ray", starting, [signal.SIGTERM]),
        ("ray", beginning, [signal.SIGTERM]),
        ("ray", beginning, [signal.SIGINT, signal.SIGINT]),
        ("ray", half_there, [signal.SIGINT]),
        ("ray", at_work, [signal.SIGTERM, signal.SIGTERM]),
        ("ray", at_work, [signal.SIGINT]),
        ("local", starting, [signal.SIGINT]),
        ("local", forked, [signal.SIGTERM, signal.SIGTERM]),
        ("local", at_work, [signal.SIGTERM]),
        ("local", at_work, [signal.SIGINT, signal.SIGINT]),
    ],
)
def test_it_ends_with_one_line_and_nothing_is_left(
    executor: str, moment: Callable[[Running], None], numbers: list[signal.Signals], job: Path
) -> None:
    ended(begun(job, executor), moment, numbers)


def ended(
    running: Running, moment: Callable[[Running], None], numbers: list[signal.Signals]
) -> None:
    """Stop it at that moment, and see how it ends."""
    try:
        moment(running)
        for number in numbers:
            running.process.send_signal(number)
        out, rest = running.process.communicate(timeout=LIMIT)
        said = [*running.seen, *rest.splitlines(keepends=True)]
        assert [line for line in said if not line.startswith("{")] == [
            "tamis: stopped; the same command resumes\n"
        ], said
        assert out == ""
        assert running.process.returncode == (143 if numbers[0] == signal.SIGTERM else 130)
        assert not (running.output / LEASE).exists()
        until(lambda: not running.family())
    finally:
        running.process.kill()
        for left in running.family():
            left.kill()


@pytest.mark.parametrize(("executor", "moment"), [("ray", half_there), ("local", at_work)])
def test_it_goes_on_afterwards(executor: str, moment: Callable[[Running], None], job: Path) -> None:
    ended(begun(job, executor), moment, [signal.SIGTERM, signal.SIGTERM])
    out, said = begun(job, executor).process.communicate(timeout=LIMIT)
    assert "27 in = 18 kept + 9 dropped" in out, said
    assert [row["kept"] for row in ledger(job.parent / "run")] == [
        bool(k % 3) for _ in range(3) for k in range(9)
    ]


def test_where_the_driver_is_killed_no_local_worker_stays_and_it_goes_on(job: Path) -> None:
    running = begun(job, "local")
    at_work(running)
    running.process.kill()
    running.process.communicate(timeout=LIMIT)
    until(lambda: not running.family())
    out, said = begun(job, "local").process.communicate(timeout=LIMIT)
    assert "27 in = 18 kept + 9 dropped" in out, said
