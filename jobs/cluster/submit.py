"""A job on a cluster, over Ray's job server: asked first what it is, then given the job.

The cluster is asked by a probe that ships no file (``jobs/cluster/probe.py``); the job goes with the project's own
three packages, or alone where the cluster's image has them.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import platform
import re
import secrets
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import tamis
from tamis.jobs.cluster import probe
from tamis.jobs.cluster.needs import Found, Needs, judge
from tamis.pipeline.runs.ray_engine import SINGLE_THREADED
from tamis.pipeline.store import storage
from tamis.schemas.errors import ClusterError
from tamis.schemas.job import Job
from tamis.schemas.parse import dump

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

    Client: TypeAlias = JobSubmissionClient
    Details: TypeAlias = JobDetails

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("jobs", "pipeline", "schemas")
"""They lie in `tamis`, as an installation has them."""
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.tar", "*.pyc")

TALKERS = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Ray's loggers that tell of each upload, and of each log's end."""

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
PROBE_SECONDS = 180.0
"""A cluster that is busy may take long to start a process."""

VARIABLE = 128 << 10
"""Bytes of a variable of a process (Linux's MAX_ARG_STRLEN)."""

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Shipment:
    """What goes along with a job: the project or not, its processes' variables, the image that they run in.

    An image has the project: Ray starts processes in one (by podman) only where no files are shipped.
    """

    project: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None

    @property
    def surroundings(self) -> dict[str, Any]:
        """Ray's runtime environment, but for files."""
        made: dict[str, Any] = {"env_vars": dict(self.environment)}
        return made | ({"image_uri": self.image} if self.image else {})

    @classmethod
    def of(cls, known: Details) -> Shipment:
        """As a job was sent before."""
        sent = known.runtime_env or {}
        project = (known.metadata or {}).get("project") != "installed"
        return cls(project, sent.get("env_vars") or {}, sent.get("image_uri"))


@contextmanager
def _told(address: str) -> Iterator[None]:
    """One line for whatever Ray's client raises.

    Raises:
        ClusterError: it did not answer, or refused.
    """
    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    unreached = (OSError, aiohttp.ClientError, requests.RequestException)

    try:
        yield
    except AuthenticationError:
        raise ClusterError(
            f"{address}: the cluster wants a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from None
    except (RuntimeError, ValueError, *unreached) as error:
        why = " ".join(str(error).split())[:300]
        raise ClusterError(f"{address}: {why}") from None


def connect(address: str) -> Client:
    """The job server at ``http://HOST:PORT``.

    Raises:
        ClusterError: nobody answers there, it is no job server, or its Ray is not this one.
    """
    address = address.rstrip("/")
    host, port = _place(address)
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:  # a name may be none that could be looked up
        why = getattr(error, "strerror", None) or error
        raise ClusterError(
            f"{address}: nobody answers ({why}): is the cluster up, and its port 8265 reachable from here?"
        ) from None
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import requests
    from ray.job_submission import JobSubmissionClient

    for name in TALKERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    with _told(address):
        # Ray's client waits without end for whoever takes a connection and says nothing.
        answer = requests.get(f"{address}/api/version", timeout=ANSWER_SECONDS)
        if answer.ok and "ray_version" not in answer.text:
            raise ValueError("what answers there is no Ray job server")
        return JobSubmissionClient(address)


def _place(address: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        ClusterError: it is no such address.
    """
    try:
        place = urlsplit(address)
        if place.scheme in {"http", "https"} and place.hostname:
            return place.hostname, place.port or (443 if place.scheme == "https" else 80)
        why = ""
    except ValueError as error:
        why = f" ({error})"
    raise ClusterError(
        f"{address}: no address of a Ray job server{why}: it looks like http://HEAD:8265"
    )


def version_of(client: Client) -> str:
    """The cluster's Ray, by a single request."""
    with _told(client.get_address()):
        found: str = client._do_request("GET", "/api/version").json()["ray_version"]  # noqa: SLF001
    return found


def check(client: Client, needs: Needs, shipment: Shipment) -> None:
    """Ask the cluster what it is; nothing but a command line is sent.

    Raises:
        ClusterError: it lacks what the job needs: one line that says what.
    """
    import ray

    judge(Found(ray=version_of(client)), needs, ray.__version__, platform.python_version())
    source = inspect.getsource(probe)
    wanted = json.dumps({"modules": needs.modules, "read": needs.read, "write": needs.write})
    with _told(client.get_address()):
        asked = client.submit_job(
            entrypoint=f"python -c {shlex.quote(source)} {shlex.quote(wanted)}",
            runtime_env=shipment.surroundings,
            metadata={"tamis": "probe"},
        )
        late = "no process could be started in {:.0f} s: is the head node overloaded?"
        status = _wait(client, asked, late)
        output = client.get_job_logs(asked)
        told = client.get_job_info(asked).message or "it said nothing"
        client.delete_job(asked)
    for line in output.splitlines():
        if line.startswith(probe.MARK):
            found = Found(**json.loads(line.removeprefix(probe.MARK)))
            judge(found, needs, ray.__version__, platform.python_version())
            return
    raise ClusterError(f"{client.get_address()}: {_unasked(shipment, status, output, told)}")


def _unasked(shipment: Shipment, status: str, output: str, told: str) -> str:
    """Why the probe has not answered: from what it printed, and what Ray tells of it."""
    why = next(iter(_errors(output) or _errors(told) or output.strip().splitlines()[-1:]), "")
    why = (why or " ".join(told.split()))[:300]
    if shipment.image and "podman" in why.lower():
        return (
            f"its nodes cannot start the image {shipment.image}: Ray does that with podman, and there: {why}: let the "
            "nodes themselves run the image (tamis deploy kuberay, deploy/ray-cluster.yaml), and say --installed"
        )
    where = f" in the image {shipment.image}" if shipment.image else ""
    return f"its Python{where} cannot be asked ({status}): {why}"


def _errors(text: str) -> list[str]:
    """The lines that end tracebacks, the last first."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in reversed(lines) if re.match(r"[\w.]*(Error|Exception): ", line)]


def _wait(client: Client, job_id: str, late: str) -> str:
    until = time.monotonic() + PROBE_SECONDS
    while (status := str(client.get_job_status(job_id))) not in ENDED:
        if time.monotonic() > until:
            client.stop_job(job_id)
            raise ClusterError(f"{client.get_address()}: {late.format(PROBE_SECONDS)}")
        time.sleep(0.5)
    return status


def send(client: Client, job: Job, shipment: Shipment, resumes: str | None = None) -> str:
    """Ship the job; its id. The job's text stays with it, so that it can be sent again by its id alone."""
    text = dump(job)
    metadata = {"tamis": "run", "name": job.name, "output": storage.redact(job.output), "job": text}
    if resumes:
        metadata["resumes"] = resumes
    if not shipment.project:
        metadata["project"] = "installed"
    _check_length(metadata, shipment)
    job_id = f"{job.name}-{secrets.token_hex(4)}"
    if shipment.image:
        with _told(client.get_address()):
            return client.submit_job(
                entrypoint=inline(text, job_id),
                submission_id=job_id,
                runtime_env=shipment.surroundings,
                metadata=metadata,
            )
    with tempfile.TemporaryDirectory() as folder, _told(client.get_address()):
        storage.write_bytes(f"{folder}/job.yaml", text.encode())
        if shipment.project:
            for package in PACKAGES:
                shutil.copytree(ROOT / package, f"{folder}/tamis/{package}", ignore=LEFT_OUT)
            shutil.copy(tamis.__file__, f"{folder}/tamis")
        return client.submit_job(
            entrypoint=_run("./job.yaml"),
            submission_id=job_id,
            runtime_env={"working_dir": folder, **shipment.surroundings},
            metadata=metadata,
        )


def _check_length(metadata: Mapping[str, str], shipment: Shipment) -> None:
    """Ray hands these to the job's process in one variable, which Linux lets be 128 KiB long.

    Raises:
        ClusterError: they are longer.
    """
    size = len(json.dumps({"runtime_env": shipment.surroundings, "metadata": metadata}).encode())
    if size > VARIABLE - 4096:  # Ray adds a little of its own
        raise ClusterError(
            f"the job's text and variables have {size:,} bytes, and a process can be given {VARIABLE:,}: name the "
            "input by ranges and globs, not file by file"
        )


def inline(text: str, job_id: str) -> str:
    """The command that writes a job file first: with an image no file can be shipped.

    Its user may be none of the image's own, who can write to no directory but this.
    """
    path = f"/tmp/{job_id}.yaml"
    return f"printf %s {shlex.quote(text)} > {path} && {_run(path)}"


def _run(path: str) -> str:
    """The command that does a job file."""
    return f"python -m tamis.jobs run {path} --address auto --progress lines"


def details(client: Client, job_id: str) -> Details:
    """What the cluster knows of a job.

    Raises:
        ClusterError: it knows no such job.
    """
    if all(job_id != item.submission_id for item in ours(client)):
        names = ", ".join(str(item.submission_id) for item in ours(client)[:5]) or "none"
        raise ClusterError(f"{client.get_address()}: no job `{job_id}` there; there is: {names}")
    with _told(client.get_address()):
        return client.get_job_info(job_id)


def ours(client: Client) -> list[Details]:
    """The jobs of tamis that the cluster remembers, newest first."""
    with _told(client.get_address()):
        jobs = client.list_jobs()
    mine = [job for job in jobs if (job.metadata or {}).get("tamis") == "run"]
    return sorted(mine, key=lambda job: -(job.start_time or 0))


def follow(client: Client, job_id: str) -> Iterator[str]:
    """What a job prints, as it comes, until it ends."""
    loop = asyncio.new_event_loop()
    lines: AsyncIterator[str] = client.tail_job_logs(job_id)
    try:
        while True:
            with _told(client.get_address()):
                try:
                    piece = loop.run_until_complete(anext(lines))
                except StopAsyncIteration:
                    return
            yield piece
    finally:
        loop.close()


def logs(client: Client, job_id: str) -> str:
    """What a job has printed so far."""
    with _told(client.get_address()):
        return client.get_job_logs(job_id)


def cancel(client: Client, job_id: str) -> str:
    """Stop a job and wait until it has stopped; its last status."""
    with _told(client.get_address()):
        client.stop_job(job_id)
        late = f"{job_id} has not stopped in {{:.0f}} s: look again with tamis status {job_id}"
        return _wait(client, job_id, late)


def forwarded(names: Sequence[str]) -> dict[str, str]:
    """``--env NAME`` (this shell's value) and ``--env NAME=VALUE`` as variables.

    Raises:
        ClusterError: no name of a variable; one that tamis sets; or this shell has none of that name.
    """
    found: dict[str, str] = {}
    for item in names:
        name, given, value = item.partition("=")
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ClusterError(f"--env {item}: write --env NAME, or --env NAME=VALUE")
        if name in SINGLE_THREADED:  # Ray refuses a variable that both the job and its driver set
            raise ClusterError(
                f"--env {name}: is 1 in every task, of which there is one a processor: leave it out"
            )
        if not given and name not in os.environ:
            raise ClusterError(f"--env {name}: not set here: write --env {name}=VALUE")
        found[name] = value if given else os.environ[name]
    return found
