"""``tamis submit``, ``status``, ``logs``, ``cancel``, ``resume`` and ``jobs``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from tamis.jobs.cluster import submit
from tamis.jobs.cluster.manifests import check_image, with_autoscaling
from tamis.jobs.cluster.needs import needs_of
from tamis.jobs.job_files.load import Request, load
from tamis.jobs.job_files.paths import secret_warning, with_absolute_paths
from tamis.jobs.terminal import display
from tamis.pipeline.runs import plan as planning
from tamis.schemas.errors import ClusterError
from tamis.schemas.job import Job
from tamis.schemas.parse import parse_job

if TYPE_CHECKING:
    from tamis.jobs.cluster.submit import Client, Details


def _connect(address: str | None) -> Client:
    address = address or os.environ.get("RAY_API_SERVER_ADDRESS")
    if not address:
        raise ClusterError("which cluster? Add --address http://HEAD:8265")
    return submit.connect(address)


@dataclass(frozen=True)
class SendOptions:
    """The options of ``tamis submit`` about the shipment of a job."""

    installed: bool = False
    grows: bool = False
    env: Sequence[str] = ()
    detach: bool = False
    image: str | None = None

    def shipment(self, before: submit.Shipment | None = None) -> submit.Shipment:
        """The shipment by these options; an option that is left out stays as ``before``.

        Raises:
            ClusterError: a variable that is not set here, or no name of an image.
        """
        new_variables = submit.env_variables(self.env)
        if self.image is not None:
            check_image(self.image)
        before = before or submit.Shipment()
        image = self.image or before.image
        project = before.project and not (self.installed or image)
        variables = {**before.environment, **new_variables}
        quoted = next((name for name, value in variables.items() if "'" in value), None)
        if image and quoted:  # Ray writes NAME='VALUE' into podman's command line
            raise ClusterError(
                f"--env {quoted}: Ray can give no value with a ' in it to a process in an image"
            )
        return submit.Shipment(project, variables, image)


def submit_job(request: Request, address: str | None, sending: SendOptions) -> None:
    """Check a job here and against the Ray cluster, ship it, and print its output.

    Raises:
        TamisError: the job cannot be done there; nothing was uploaded.
    """
    client = _connect(address)
    _ship(client, with_absolute_paths(load(request)), sending, sending.shipment())


def resume_job(job_id: str, address: str | None, sending: SendOptions) -> None:
    """Send an ended job again with its variables and image: it goes on where it stopped.

    Raises:
        ClusterError: no such job, or it has not ended.
    """
    client = _connect(address)
    details = submit.details(client, job_id)
    if str(details.status) not in submit.END_STATUSES:
        raise ClusterError(f"{job_id}: is {_status(details)}: watch it with tamis logs -f {job_id}")
    job = parse_job((details.metadata or {})["job"], job_id)
    _ship(client, job, sending, sending.shipment(submit.Shipment.of(details)), job_id)


def _ship(
    client: Client,
    job: Job,
    sending: SendOptions,
    shipment: submit.Shipment,
    resumes: str | None = None,
) -> None:
    if sending.grows:
        job = with_autoscaling(job)
    needs = needs_of(planning.make(job), installed=not shipment.project, grows=sending.grows)
    if warning := secret_warning(job, "the cluster's dashboard", "--env"):
        display.echo(warning, err=True)
    submit.check(client, needs, shipment)
    job_id = submit.send(client, job, shipment, resumes)
    display.echo(job_id)
    if not sending.detach:
        _watch(client, job_id)


def _watch(client: Client, job_id: str) -> None:
    """Print a job's output until it ends, and exit with its code."""
    try:
        for piece in submit.follow(client, job_id):
            display.echo(piece, err=True, nl=False)
    except KeyboardInterrupt:
        display.echo(
            f"tamis: the job goes on: tamis logs -f {job_id}, tamis cancel {job_id}", err=True
        )
        raise typer.Exit(130) from None
    except ClusterError as error:  # the connection failed, not the job
        raise ClusterError(f"{error}: the job is there still: tamis logs -f {job_id}") from None
    details = submit.details(client, job_id)
    if str(details.status) not in submit.END_STATUSES:  # a proxy may close a quiet connection
        raise ClusterError(
            f"{job_id}: {_status(details)}, but its log has been closed: tamis logs -f {job_id}"
        )
    if str(details.status) != "SUCCEEDED":
        display.echo(f"tamis: {job_id}: {_status(details)}: tamis resume {job_id}", err=True)
        raise typer.Exit(
            details.driver_exit_code if details.driver_exit_code in (1, 2, 130, 143) else 1
        )


def show_status(job_id: str, *, address: str | None, json: bool) -> None:
    """Print one job's status and last lines."""
    client = _connect(address)
    summary = _summary(submit.details(client, job_id))
    if json:
        display.echo(display.as_json(summary))
        return
    printed = submit.logs(client, job_id).strip().splitlines()
    for key, value in summary.items():
        if value is not None:
            display.echo(f"{key:9}{display.plain(str(value))}")
    for line in printed[-3:]:
        display.echo(f"         {display.plain(line)}")


def show_logs(job_id: str, *, address: str | None, following: bool) -> None:
    """Print a job's output so far; with ``following``, until it ends."""
    client = _connect(address)
    submit.details(client, job_id)
    if not following:
        display.echo(submit.logs(client, job_id), nl=False)
        return
    for piece in submit.follow(client, job_id):
        display.echo(piece, nl=False)


def cancel_job(job_id: str, *, address: str | None) -> None:
    """Stop a job; its finished tasks stay."""
    client = _connect(address)
    details = submit.details(client, job_id)
    if str(details.status) in submit.END_STATUSES:
        raise ClusterError(f"{job_id}: is {_status(details)} already")
    status = submit.cancel(client, job_id)
    display.echo(f"{job_id}: {status.lower()}; tamis resume {job_id} goes on with it")


def list_jobs(*, address: str | None, json: bool) -> None:
    """Print all jobs of tamis that the Ray cluster remembers, newest first."""
    summaries = [_summary(job) for job in submit.list_jobs(_connect(address))]
    if json:
        display.echo(display.as_json(summaries))
        return
    names = ("id", "status", "started", "output")
    rows = [[str(summary[name] or "") for name in names] for summary in summaries]
    table = display.table([(name, "left") for name in names], rows)
    display.print_table(display.console(), table)


def _status(details: Details) -> str:
    status, code = str(details.status).lower(), details.driver_exit_code
    return status if code in (0, None) else f"{status} ({code})"


def _summary(details: Details) -> dict[str, Any]:
    metadata = details.metadata or {}
    return {
        "id": details.submission_id,
        "status": _status(details),
        "name": metadata.get("name"),
        "output": metadata.get("output"),
        "started": _time(details.start_time),
        "ended": _time(details.end_time),
        "resumes": metadata.get("resumes"),
    }


def _time(milliseconds: int | None) -> str | None:
    if not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
