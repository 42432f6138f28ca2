"""``tamis submit``, ``status``, ``logs``, ``cancel``, ``resume`` and ``jobs``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from tamis.jobs.cluster import submit
from tamis.jobs.cluster.manifests import check_image, grown
from tamis.jobs.cluster.needs import needs_of
from tamis.jobs.job_paths import made_absolute, told_secrets
from tamis.jobs.loading import Request, load
from tamis.jobs.terminal import display
from tamis.pipeline.runs import plan as planning
from tamis.schemas.errors import ClusterError
from tamis.schemas.job import Job
from tamis.schemas.parse import parse_job

if TYPE_CHECKING:
    from tamis.jobs.cluster.submit import Client, Details


def _at(address: str | None) -> Client:
    given = address or os.environ.get("RAY_API_SERVER_ADDRESS")
    if not given:
        raise ClusterError("which cluster? Add --address http://HEAD:8265")
    return submit.connect(given)


@dataclass(frozen=True)
class Sending:
    """How a job is to be sent: see the options of ``tamis submit``."""

    installed: bool = False
    grows: bool = False
    env: Sequence[str] = ()
    detach: bool = False
    image: str | None = None

    def shipment(self, before: submit.Shipment | None = None) -> submit.Shipment:
        """What goes along; what is not said now is as it was ``before``.

        Raises:
            ClusterError: a variable is to be forwarded that is not set here; no image has such a name.
        """
        said = submit.forwarded(self.env)
        if self.image is not None:
            check_image(self.image)
        before = before or submit.Shipment()
        image = self.image or before.image
        project = before.project and not (self.installed or image)
        variables = {**before.environment, **said}
        quoted = next((name for name, value in variables.items() if "'" in value), None)
        if image and quoted:  # it writes NAME='VALUE' into podman's command line
            raise ClusterError(
                f"--env {quoted}: Ray can give no value with a ' in it to a process in an image"
            )
        return submit.Shipment(project, variables, image)


def submit_job(request: Request, address: str | None, sending: Sending) -> None:
    """Check a job here and against the cluster, ship it, and show how it goes.

    Raises:
        TamisError: it cannot be done there; nothing was uploaded.
    """
    client = _at(address)
    _ship(client, made_absolute(load(request)), sending, sending.shipment())


def resume_job(job_id: str, address: str | None, sending: Sending) -> None:
    """Send an ended job again, as it was, variables and image included: it goes on where it stopped.

    Raises:
        ClusterError: no such job, or it has not ended.
    """
    client = _at(address)
    known = submit.details(client, job_id)
    if str(known.status) not in submit.ENDED:
        raise ClusterError(f"{job_id}: is {_word(known)}: watch it with tamis logs -f {job_id}")
    job = parse_job((known.metadata or {})["job"], job_id)
    _ship(client, job, sending, sending.shipment(submit.Shipment.of(known)), job_id)


def _ship(
    client: Client,
    job: Job,
    sending: Sending,
    shipment: submit.Shipment,
    resumes: str | None = None,
) -> None:
    if sending.grows:
        job = grown(job)
    needs = needs_of(planning.make(job), installed=not shipment.project, grows=sending.grows)
    if said := told_secrets(job, "the cluster's dashboard", "--env"):
        typer.echo(said, err=True)
    submit.check(client, needs, shipment)
    job_id = submit.send(client, job, shipment, resumes)
    typer.echo(job_id)
    if not sending.detach:
        _watch(client, job_id)


def _watch(client: Client, job_id: str) -> None:
    """Show what it prints; end as it ends."""
    try:
        for piece in submit.follow(client, job_id):
            sys.stderr.write(piece)
            sys.stderr.flush()
    except KeyboardInterrupt:
        typer.echo(
            f"tamis: the job goes on: tamis logs -f {job_id}, tamis cancel {job_id}", err=True
        )
        raise typer.Exit(130) from None
    except ClusterError as error:  # a network between, which need not be the job's
        raise ClusterError(f"{error}: the job is there still: tamis logs -f {job_id}") from None
    known = submit.details(client, job_id)
    if str(known.status) not in submit.ENDED:  # whoever stands between may close what is quiet
        raise ClusterError(
            f"{job_id}: {_word(known)}, but its log has been closed: tamis logs -f {job_id}"
        )
    if str(known.status) != "SUCCEEDED":
        typer.echo(f"tamis: {job_id}: {_word(known)}: tamis resume {job_id}", err=True)
        raise typer.Exit(
            known.driver_exit_code if known.driver_exit_code in (1, 2, 130, 143) else 1
        )


def show_status(job_id: str, *, address: str | None, json: bool) -> None:
    """One job: what it is and how it stands."""
    client = _at(address)
    about = _about(submit.details(client, job_id))
    if json:
        typer.echo(display.as_json(about))
        return
    printed = submit.logs(client, job_id).strip().splitlines()
    for key, value in about.items():
        if value is not None:
            typer.echo(f"{key:9}{display.plain(str(value))}")
    for line in printed[-3:]:
        typer.echo(f"         {display.plain(line)}")


def show_logs(job_id: str, *, address: str | None, following: bool) -> None:
    """What a job has printed; with ``following``, until it ends."""
    client = _at(address)
    submit.details(client, job_id)
    if not following:
        typer.echo(submit.logs(client, job_id), nl=False)
        return
    for piece in submit.follow(client, job_id):
        typer.echo(piece, nl=False)


def cancel_job(job_id: str, *, address: str | None) -> None:
    """Stop a job; what it has done stays."""
    client = _at(address)
    known = submit.details(client, job_id)
    if str(known.status) in submit.ENDED:
        raise ClusterError(f"{job_id}: is {_word(known)} already")
    status = submit.cancel(client, job_id)
    typer.echo(f"{job_id}: {status.lower()}; tamis resume {job_id} goes on with it")


def list_jobs(*, address: str | None, json: bool) -> None:
    """All jobs of tamis that the cluster remembers, newest first."""
    found = [_about(job) for job in submit.ours(_at(address))]
    if json:
        typer.echo(display.as_json(found))
        return
    names = ("id", "status", "started", "output")
    rows = [[str(about[name] or "") for name in names] for about in found]
    display.console().print(display.table([(name, "left") for name in names], rows))


def _word(known: Details) -> str:
    status = str(known.status).lower()
    return status if known.driver_exit_code in (0, None) else f"{status} ({known.driver_exit_code})"


def _about(known: Details) -> dict[str, Any]:
    metadata = known.metadata or {}
    return {
        "id": known.submission_id,
        "status": _word(known),
        "name": metadata.get("name"),
        "output": metadata.get("output"),
        "started": _time(known.start_time),
        "ended": _time(known.end_time),
        "resumes": metadata.get("resumes"),
    }


def _time(milliseconds: int | None) -> str | None:
    if not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
