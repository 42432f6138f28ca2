"""The preset `demo`, done once by the command itself on Ray; and its raw input, read by the standard library."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import psutil

from tamis.jobs.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "jobs" / "examples" / "clipart"

Name = tuple[str, str]
"""(source, key): what a sample is called in the ledger and in sidecars."""

Members = Mapping[str, bytes]
Row = dict[str, Any]


@dataclass(frozen=True)
class DemoRun:
    """A finished run: what ``--json`` said, and each process's largest memory of its own, in bytes."""

    root: Path
    told: dict[str, Any]
    memory: Mapping[str, int]

    @property
    def manifest(self) -> dict[str, Any]:
        """``manifest.json``."""
        told: dict[str, Any] = json.loads((self.root / "manifest.json").read_text())
        return told

    def ledger(self, where: str = "true") -> list[Row]:
        """Rows of the ledger, in the order of sids, as DuckDB reads them."""
        return rows_of(f"FROM '{self.root}/ledger/*.parquet' WHERE {where} ORDER BY sid")

    def explain(self, uid: str) -> dict[str, Any]:
        """What ``tamis explain RUN UID --json`` says of the one sample of that uid."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main(["explain", str(self.root), uid, "--json"])
        told = json.loads(out.getvalue())
        assert told["found"] == 1
        story: dict[str, Any] = told["samples"][0]
        return story

    def dropped_by(self, step: str, uid: str) -> dict[str, Any]:
        """What the story of ``uid`` says of the step that dropped it."""
        story = self.explain(uid)
        assert not story["kept"]
        assert story["dropped_by"] == step
        (said,) = (told for told in story["steps"] if told["outcome"] == "dropped")
        assert said["step"] == step
        return dict(said)


def rows_of(query: str) -> list[Row]:
    """What DuckDB answers, a dict a row."""
    with duckdb.connect() as connection:
        answer = connection.execute(query)
        assert answer.description is not None
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


@cache
def raw_input() -> Mapping[Name, Members]:
    """Every sample of the example data: its members by suffix."""
    found: dict[Name, dict[str, bytes]] = {}
    for path in sorted(EXAMPLES.glob("*.tar")):
        for name, data in members_of(path).items():
            key, _, suffix = name.partition(".")
            found.setdefault((f"input/{path.name}", key), {})[suffix] = data
    return found


def members_of(path: Path) -> dict[str, bytes]:
    """All members of a tar by name."""
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def raw(row: Row) -> Members:
    """The members of the sample that a ledger row or a story is about."""
    return raw_input()[row["source"], row["key"]]


def command(*arguments: str) -> list[str]:
    """The console script, in a process of its own. Its last word on standard error: was Ray imported?"""
    code = (
        "import sys\n"
        "from tamis.jobs.cli.app import main\n"
        "try:\n    main()\nfinally:\n    print('ray' in sys.modules, file=sys.stderr)"
    )
    return [sys.executable, "-c", code, *arguments]


def tamis(*arguments: str) -> tuple[dict[str, Any], bool]:
    """Have a command done: the JSON that it printed, and whether it imported Ray."""
    done = subprocess.run(
        command(*arguments, "--json"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr.splitlines()[-1] == "True"


def run_demo(root: Path, *settings: str) -> DemoRun:
    """Do the preset, and watch the memory of every process of it."""
    arguments = command("run", "demo", "--output", str(root), "--json", *settings)
    with subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        with Watch(running.pid) as watch:
            out, err = running.communicate()
        assert running.returncode == 0, err
    return DemoRun(root, json.loads(out), watch.largest)


def shared_demo(folder: Path) -> DemoRun:
    """The preset on two processors: done by the first process that asks for it below ``folder``, read by the others."""
    said = folder / "demo.json"
    with open(folder / "demo.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            made = run_demo(folder / "demo" / "run", "--ray", "--cpus", "2")
            said.write_text(json.dumps({"told": made.told, "memory": made.memory}))
    return DemoRun(folder / "demo" / "run", **json.loads(said.read_text()))


class Watch:
    """Notes the unique set size (USS) of a process and all below it, every other second: to ask costs them time."""

    def __init__(self, pid: int, seconds: float = 2.0) -> None:
        self.largest: dict[str, int] = {}
        self._process = psutil.Process(pid)
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(self._seconds):
            with contextlib.suppress(psutil.Error):  # a process may end while it is looked at
                for process in [self._process, *self._process.children(recursive=True)]:
                    self._note(process)

    def _note(self, process: psutil.Process) -> None:
        with contextlib.suppress(psutil.Error):
            name = f"{process.pid} {_title(process.cmdline())}"
            used = process.memory_full_info().uss
            self.largest[name] = max(used, self.largest.get(name, 0))


def _title(arguments: Sequence[str]) -> str:
    return os.path.basename(arguments[0])[:40] if arguments else ""
