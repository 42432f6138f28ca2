"""A job on a Ray cluster, over Ray's job server.

A probe that ships no file (``jobs/cluster/probe.py``) runs first. The job is shipped with the project's own three
packages, or alone where the Ray cluster's image has them.
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
from tamis.jobs.cluster.needs import Needs, ProbeAnswer, judge
from tamis.pipeline.host.environment import SINGLE_THREADED
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
"""The project's packages, shipped as `tamis.jobs` and so on."""
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.tar", "*.pyc")

NOISY_LOGGERS = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Ray's loggers that report each upload, and each log's end."""

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
PROBE_SECONDS = 180.0
"""Seconds for a probe: a busy Ray cluster starts processes slowly."""

LARGEST_VARIABLE = 128 << 10
"""Most bytes of one environment variable (Linux's MAX_ARG_STRLEN)."""

END_STATUSES = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Shipment:
    """The companions of a job: the project or not, its processes' variables, the image that they run in.

    An image must have the project: Ray starts processes in an image (by podman) only where no files are shipped.
    """

    project: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None

    @property
    def runtime_env(self) -> dict[str, Any]:
        """Ray's runtime environment without files."""
        image = {"image_uri": self.image} if self.image else {}
        return {"env_vars": dict(self.environment), **image}

    @classmethod
    def of(cls, job: Details) -> Shipment:
        """The shipment of a job that was sent before."""
        env = job.runtime_env or {}
        project = (job.metadata or {}).get("project") != "installed"
        return cls(project, env.get("env_vars") or {}, env.get("image_uri"))


@contextmanager
def _one_line_errors(address: str) -> Iterator[None]:
    """Raise each error of Ray's client as one line.

    Raises:
        ClusterError: the job server did not answer, or refused.
    """
    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    unreachable = (OSError, aiohttp.ClientError, requests.RequestException)

    try:
        yield
    except AuthenticationError:
        raise ClusterError(
            f"{address}: the cluster wants a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from None
    except (RuntimeError, ValueError, *unreachable) as error:
        why = " ".join(str(error).split())[:300]
        raise ClusterError(f"{address}: {why}") from None


def connect(address: str) -> Client:
    """The job server at ``http://HOST:PORT``.

    Raises:
        ClusterError: no job server answers there.
    """
    address = address.rstrip("/")
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
        why = getattr(error, "strerror", None) or error
        raise ClusterError(
            f"{address}: nobody answers ({why}): is the cluster up, and its port 8265 reachable from here?"
        ) from None
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import requests
    from ray.job_submission import JobSubmissionClient

    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    with _one_line_errors(address):
        # Ray's client waits without end for a server that takes the connection and does not answer.
        answer = requests.get(f"{address}/api/version", timeout=ANSWER_SECONDS)
        if answer.ok and "ray_version" not in answer.text:
            raise ValueError("the server there is no Ray job server")
        return JobSubmissionClient(address)


def _host_and_port(address: str) -> tuple[str, int]:
    """Host and port of an address.

    Raises:
        ClusterError: no address of a job server.
    """
    try:
        url = urlsplit(address)
        if url.scheme in {"http", "https"} and url.hostname:
            return url.hostname, url.port or (443 if url.scheme == "https" else 80)
        why = ""
    except ValueError as error:
        why = f" ({error})"
    raise ClusterError(
        f"{address}: no address of a Ray job server{why}: it looks like http://HEAD:8265"
    )


def ray_version(client: Client) -> str:
    """The Ray cluster's version of Ray, by a single request."""
    with _one_line_errors(client.get_address()):
        version: str = client._do_request("GET", "/api/version").json()["ray_version"]  # noqa: SLF001
    return version


def check(client: Client, needs: Needs, shipment: Shipment) -> None:
    """Compare a Ray cluster with the needs, by a probe that sends nothing but a command line.

    Raises:
        ClusterError: a need that is not met, or the probe failed.
    """
    import ray

    judge(ProbeAnswer(ray=ray_version(client)), needs, ray.__version__, platform.python_version())
    source = inspect.getsource(probe)
    question = json.dumps({"modules": needs.modules, "read": needs.read, "write": needs.write})
    with _one_line_errors(client.get_address()):
        job_id = client.submit_job(
            entrypoint=f"python -c {shlex.quote(source)} {shlex.quote(question)}",
            runtime_env=shipment.runtime_env,
            metadata={"tamis": "probe"},
        )
        late = "no process could be started in {:.0f} s: is the head node overloaded?"
        status = _wait(client, job_id, late)
        output = client.get_job_logs(job_id)
        message = client.get_job_info(job_id).message or "no message from Ray"
        client.delete_job(job_id)
    for line in output.splitlines():
        if line.startswith(probe.MARK):
            answer = ProbeAnswer(**json.loads(line.removeprefix(probe.MARK)))
            judge(answer, needs, ray.__version__, platform.python_version())
            return
    raise ClusterError(
        f"{client.get_address()}: {_probe_failure(shipment, status, output, message)}"
    )


def _probe_failure(shipment: Shipment, status: str, output: str, message: str) -> str:
    """The reason of a probe without an answer, from its output and Ray's message."""
    why = next(
        iter(_error_lines(output) or _error_lines(message) or output.strip().splitlines()[-1:]), ""
    )
    why = (why or " ".join(message.split()))[:300]
    if shipment.image and "podman" in why.lower():
        return (
            f"its nodes cannot start the image {shipment.image}: Ray does that with podman, and there: {why}: let the "
            "nodes themselves run the image (tamis deploy kuberay, deploy/ray-cluster.yaml), and say --installed"
        )
    where = f" in the image {shipment.image}" if shipment.image else ""
    return f"the probe failed in its Python{where} ({status}): {why}"


def _error_lines(text: str) -> list[str]:
    """The last lines of tracebacks, the latest first."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in reversed(lines) if re.match(r"[\w.]*(Error|Exception): ", line)]


def _wait(client: Client, job_id: str, late: str) -> str:
    """The status of a job when it has ended; ``late`` is the error's text, with a field for the seconds."""
    until = time.monotonic() + PROBE_SECONDS
    while (status := str(client.get_job_status(job_id))) not in END_STATUSES:
        if time.monotonic() > until:
            client.stop_job(job_id)
            raise ClusterError(f"{client.get_address()}: {late.format(PROBE_SECONDS)}")
        time.sleep(0.5)
    return status


def send(client: Client, job: Job, shipment: Shipment, resumes: str | None = None) -> str:
    """Ship a job and return its id. Its text is kept in the metadata, so that the id is enough to resume it."""
    text = dump(job)
    metadata = {"tamis": "run", "name": job.name, "output": storage.redact(job.output), "job": text}
    if resumes:
        metadata["resumes"] = resumes
    if not shipment.project:
        metadata["project"] = "installed"
    _check_length(metadata, shipment)
    job_id = f"{job.name}-{secrets.token_hex(4)}"
    if shipment.image:
        with _one_line_errors(client.get_address()):
            return client.submit_job(
                entrypoint=inline_command(text, job_id),
                submission_id=job_id,
                runtime_env=shipment.runtime_env,
                metadata=metadata,
            )
    with tempfile.TemporaryDirectory() as folder, _one_line_errors(client.get_address()):
        storage.write_bytes(f"{folder}/job.yaml", text.encode())
        if shipment.project:
            for package in PACKAGES:
                shutil.copytree(ROOT / package, f"{folder}/tamis/{package}", ignore=NOT_SHIPPED)
            shutil.copy(tamis.__file__, f"{folder}/tamis")
        return client.submit_job(
            entrypoint=_run_command("./job.yaml"),
            submission_id=job_id,
            runtime_env={"working_dir": folder, **shipment.runtime_env},
            metadata=metadata,
        )


def _check_length(metadata: Mapping[str, str], shipment: Shipment) -> None:
    """Refuse metadata that do not fit into one variable, in which Ray hands them to the job's process.

    Raises:
        ClusterError: longer than Linux lets a variable be.
    """
    size = len(json.dumps({"runtime_env": shipment.runtime_env, "metadata": metadata}).encode())
    if size > LARGEST_VARIABLE - 4096:  # Ray adds a little of its own
        raise ClusterError(
            f"the job's text and variables have {size:,} bytes, and a process can be given {LARGEST_VARIABLE:,}: "
            "name the input by ranges and globs, not file by file"
        )


def inline_command(text: str, job_id: str) -> str:
    """The command that writes the job file and runs it, for an image, with which no file can be shipped.

    The file goes to /tmp, the one directory that every user of an image can write to.
    """
    path = f"/tmp/{job_id}.yaml"
    return f"printf %s {shlex.quote(text)} > {path} && {_run_command(path)}"


def _run_command(path: str) -> str:
    """The command that runs a job file."""
    return f"python -m tamis.jobs run {path} --address auto --progress lines"


def details(client: Client, job_id: str) -> Details:
    """The Ray cluster's details of a job.

    Raises:
        ClusterError: no such job.
    """
    if all(job_id != item.submission_id for item in list_jobs(client)):
        names = ", ".join(str(item.submission_id) for item in list_jobs(client)[:5]) or "none"
        raise ClusterError(f"{client.get_address()}: no job `{job_id}` there; the latest: {names}")
    with _one_line_errors(client.get_address()):
        return client.get_job_info(job_id)


def list_jobs(client: Client) -> list[Details]:
    """The jobs of tamis that the Ray cluster remembers, newest first."""
    with _one_line_errors(client.get_address()):
        jobs = client.list_jobs()
    runs = [job for job in jobs if (job.metadata or {}).get("tamis") == "run"]
    return sorted(runs, key=lambda job: -(job.start_time or 0))


def follow(client: Client, job_id: str) -> Iterator[str]:
    """The output of a job as it is printed, until the job ends."""
    loop = asyncio.new_event_loop()
    lines: AsyncIterator[str] = client.tail_job_logs(job_id)
    try:
        while True:
            with _one_line_errors(client.get_address()):
                try:
                    piece = loop.run_until_complete(anext(lines))
                except StopAsyncIteration:
                    return
            yield piece
    finally:
        loop.close()


def logs(client: Client, job_id: str) -> str:
    """The output of a job so far."""
    with _one_line_errors(client.get_address()):
        return client.get_job_logs(job_id)


def cancel(client: Client, job_id: str) -> str:
    """Stop a job, wait until it has stopped, and return its last status."""
    with _one_line_errors(client.get_address()):
        client.stop_job(job_id)
        late = f"{job_id} has not stopped in {{:.0f}} s: look again with tamis status {job_id}"
        return _wait(client, job_id, late)


def env_variables(names: Sequence[str]) -> dict[str, str]:
    """Variables of ``--env NAME`` (this shell's value) and ``--env NAME=VALUE``.

    Raises:
        ClusterError: no name of a variable; one that tamis sets; or one that this shell does not have.
    """
    variables: dict[str, str] = {}
    for item in names:
        name, equals, value = item.partition("=")
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ClusterError(f"--env {item}: write --env NAME, or --env NAME=VALUE")
        if name in SINGLE_THREADED:  # Ray refuses a variable that both the job and its driver set
            raise ClusterError(
                f"--env {name}: is 1 in every task, of which there is one a processor: leave it out"
            )
        if not equals and name not in os.environ:
            raise ClusterError(f"--env {name}: not set here: write --env {name}=VALUE")
        variables[name] = value if equals else os.environ[name]
    return variables
