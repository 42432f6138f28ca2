"""A job on a cluster, over Ray's job server: asked first what it is, then given the job.

The cluster is asked by a probe that ships no file (``jobs/submit_probe.py``); the job goes with the project's own
three packages, or alone where the cluster's image has them.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import platform
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

from jobs import submit_probe
from jobs.cluster_needs import Found, Needs, judge
from pipeline import storage
from schemas.errors import ClusterError
from schemas.job import Job
from schemas.parse import dump

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

    Client: TypeAlias = JobSubmissionClient
    Details: TypeAlias = JobDetails

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("jobs", "pipeline", "schemas")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.tar", "*.pyc")

CONNECT_SECONDS = 10.0
PROBE_SECONDS = 180.0
"""A cluster that is busy may take long to start a process."""

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
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError:
        raise ClusterError(
            f"{address}: the cluster wants a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from None
    except (RuntimeError, ConnectionError, ValueError, requests.RequestException) as error:
        why = " ".join(str(error).split())[:300]
        raise ClusterError(f"{address}: {why}") from None


def connect(address: str) -> Client:
    """The job server at ``http://HOST:PORT``.

    Raises:
        ClusterError: nobody answers there, it is no job server, or its Ray is not this one.
    """
    place = urlsplit(address)
    if place.scheme not in {"http", "https"} or not place.hostname:
        raise ClusterError(
            f"{address}: no address of a Ray job server: it looks like http://HEAD:8265"
        )
    port = place.port or (443 if place.scheme == "https" else 80)
    try:
        socket.create_connection((place.hostname, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"{address}: nobody answers ({error.strerror or error}): is the cluster up, and its port "
            "8265 reachable from here?"
        ) from None
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    from ray.job_submission import JobSubmissionClient

    with _told(address):
        return JobSubmissionClient(address)


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
    source = inspect.getsource(submit_probe)
    wanted = json.dumps({"modules": needs.modules, "read": needs.read, "write": needs.write})
    with _told(client.get_address()):
        probe = client.submit_job(
            entrypoint=f"python -c {shlex.quote(source)} {shlex.quote(wanted)}",
            runtime_env=shipment.surroundings,
            metadata={"tamis": "probe"},
        )
        status = _wait(client, probe)
        output = client.get_job_logs(probe)
        told = client.get_job_info(probe).message or "it said nothing"
        client.delete_job(probe)
    for line in output.splitlines():
        if line.startswith(submit_probe.MARK):
            found = Found(**json.loads(line.removeprefix(submit_probe.MARK)))
            judge(found, needs, ray.__version__, platform.python_version())
            return
    last = output.strip().splitlines()[-1:] or [" ".join(told.split())[:300]]
    where = f" in the image {shipment.image}" if shipment.image else ""
    raise ClusterError(
        f"{client.get_address()}: its Python{where} cannot be asked ({status}): {last[0]}"
    )


def _wait(client: Client, job_id: str) -> str:
    until = time.monotonic() + PROBE_SECONDS
    while (status := str(client.get_job_status(job_id))) not in ENDED:
        if time.monotonic() > until:
            client.stop_job(job_id)
            raise ClusterError(
                f"{client.get_address()}: no process could be started in {PROBE_SECONDS:.0f} s: "
                "is the head node overloaded?"
            )
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
                shutil.copytree(ROOT / package, f"{folder}/{package}", ignore=LEFT_OUT)
        return client.submit_job(
            entrypoint=_run("job"),
            submission_id=job_id,
            runtime_env={"working_dir": folder, **shipment.surroundings},
            metadata=metadata,
        )


def inline(text: str, job_id: str) -> str:
    """The command that writes a job file first: with an image no file can be shipped."""
    return f"printf %s {shlex.quote(text)} > {job_id}.yaml && {_run(job_id)}"


def _run(job: str) -> str:
    """The command that does a job file of its own directory."""
    return f"python -m jobs run ./{job}.yaml --address auto --progress lines"


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
        return _wait(client, job_id)


def forwarded(names: Sequence[str]) -> dict[str, str]:
    """``--env NAME`` (this shell's value) and ``--env NAME=VALUE`` as variables.

    Raises:
        ClusterError: this shell has no such variable.
    """
    found: dict[str, str] = {}
    for item in names:
        name, given, value = item.partition("=")
        if not given and name not in os.environ:
            raise ClusterError(f"--env {name}: not set here: write --env {name}=VALUE")
        found[name] = value if given else os.environ[name]
    return found
