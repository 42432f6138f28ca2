"""A real Ray head on this machine with a job server, as ``ray start --head`` gives it; a token guards it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.forked_commands import Commands, forked_commands

ROOT = Path(__file__).resolve().parents[2]

ASKING = ("ray.job_submission", "tamis.jobs.cluster.submit")
"""What commands import that speak to a job server."""

STARTED = "Ray runtime started"
"""What ``ray start`` says when the node is up. Its ports answer before, and may be closed again."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@dataclass(frozen=True)
class RayHead:
    """Its job server, the port of its Prometheus endpoint, the variables that let one in; what drivers connect to,
    the process that all of its own descend from, a folder of commands that its nodes find first, and the command line
    as one calls it who speaks to the job server.
    """

    address: str
    metrics_port: int
    environment: dict[str, str]
    cluster: str
    process: int
    commands: Path
    tamis: Commands

    def metrics(self) -> str:
        """What Prometheus would scrape."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
            text: str = answer.read().decode()
        return text


@contextmanager
def ray_head(folder: Path, dashboard_too: bool = True) -> Iterator[RayHead]:
    """A head node of two processors; it and all that it started end with the block.

    Without a dashboard there is no job server, and it starts sooner. ``folder``: short, for its sockets lie deep in it.
    """
    head, dashboard, client, agent, metrics = free_ports(5)
    environment = {
        **os.environ,
        "PATH": f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "240",
    }
    environment.pop("RAY_ADDRESS", None)
    command = [
        *("ray", "start", "--head", "--block", f"--port={head}", "--num-cpus=2"),
        *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
        *(f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}"),
        f"--metrics-export-port={metrics}",
        f"--include-dashboard={dashboard_too}",
        *("--object-store-memory=100000000", f"--temp-dir={folder}"),
    ]
    address = f"http://127.0.0.1:{dashboard}"
    asking = {**environment, "RAY_API_SERVER_ADDRESS": address}
    with open(folder / "ray.log", "wb") as log, forked_commands(asking, ASKING) as tamis:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(process, dashboard if dashboard_too else head, folder / "ray.log")
            yield RayHead(
                address,
                metrics,
                environment,
                f"127.0.0.1:{head}",
                process.pid,
                folder / "bin",
                tamis,
            )
        finally:
            _end(process)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        with socket.socket() as probe:
            there = probe.connect_ex(("127.0.0.1", port)) == 0
        if there and STARTED in log.read_text():
            return
        time.sleep(0.5)
    raise RuntimeError(log.read_text())


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    # ``ray stop`` would end every Ray on this machine.
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs([psutil.Process(process.pid), *children], timeout=5)
    for left in alive:
        with suppress(psutil.NoSuchProcess):  # it may have ended by itself
            left.kill()
    process.wait()
