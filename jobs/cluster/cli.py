"""The commands that speak to a cluster: what each takes. What it does is in ``jobs/commands/cluster.py``."""

from __future__ import annotations

from typing import Annotated

import typer

from tamis.jobs.options import INPUT, JOB, OUTPUT, SET

commands = typer.Typer(rich_markup_mode=None)

ID = Annotated[str, typer.Argument(metavar="ID", help="As `tamis submit` printed it.")]
ADDRESS = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        envvar="RAY_API_SERVER_ADDRESS",
        help="The cluster's job server: http://HEAD:8265",
    ),
]
INSTALLED = Annotated[
    bool,
    typer.Option(
        "--installed", help="The cluster's image has tamis: send the job alone, not the project."
    ),
]
GROWS = Annotated[
    bool,
    typer.Option(
        "--grows", help="The cluster adds nodes as needed: wait for what no node has now."
    ),
]
ENV = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        metavar="NAME[=VALUE]",
        help="A variable for the job's processes. Whoever sees the cluster's dashboard sees it too.",
    ),
]
IMAGE = Annotated[
    str | None,
    typer.Option(
        "--image",
        metavar="URI",
        help="Run in this container image, which has tamis (deploy/Dockerfile); the nodes need podman.",
    ),
]
DETACH = Annotated[bool, typer.Option("--detach", help="Print the id and leave.")]
JSON = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@commands.command()
def submit(  # noqa: PLR0913, PLR0917 - one argument an option
    job: JOB,
    address: ADDRESS = None,
    settings: SET = None,
    inputs: INPUT = None,
    output: OUTPUT = None,
    installed: INSTALLED = False,
    grows: GROWS = False,
    env: ENV = None,
    image: IMAGE = None,
    detach: DETACH = False,
) -> None:
    """Do a job on a Ray cluster. Prints its id, then what it says; the cluster is asked first whether it can."""
    from tamis.jobs.commands.cluster import Sending, submit_job
    from tamis.jobs.loading import Request

    request = Request(job, inputs or (), output, settings or ())
    submit_job(request, address, Sending(installed, grows, env or (), detach, image))


@commands.command()
def resume(
    job_id: ID,
    address: ADDRESS = None,
    installed: INSTALLED = False,
    grows: GROWS = False,
    env: ENV = None,
    image: IMAGE = None,
    detach: DETACH = False,
) -> None:
    """Send an ended job again, with its variables and image: it goes on where it stopped."""
    from tamis.jobs.commands.cluster import Sending, resume_job

    resume_job(job_id, address, Sending(installed, grows, env or (), detach, image))


@commands.command()
def status(job_id: ID, address: ADDRESS = None, json: JSON = False) -> None:
    """How a submitted job stands, and the last lines that it said."""
    from tamis.jobs.commands.cluster import show_status

    show_status(job_id, address=address, json=json)


@commands.command()
def logs(
    job_id: ID,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Until it ends.")] = False,
    address: ADDRESS = None,
) -> None:
    """What a submitted job says."""
    from tamis.jobs.commands.cluster import show_logs

    show_logs(job_id, address=address, following=follow)


@commands.command()
def cancel(job_id: ID, address: ADDRESS = None) -> None:
    """Stop a submitted job; what it has done stays, and `resume` goes on with it."""
    from tamis.jobs.commands.cluster import cancel_job

    cancel_job(job_id, address=address)


@commands.command()
def jobs(address: ADDRESS = None, json: JSON = False) -> None:
    """The jobs that a cluster remembers, newest first."""
    from tamis.jobs.commands.cluster import list_jobs

    list_jobs(address=address, json=json)


deploy = typer.Typer(help="Print what a cluster's own tools need for a job.", no_args_is_help=True)
commands.add_typer(deploy, name="deploy")


@deploy.callback()
def _deploy() -> None:
    """Print what a cluster's own tools need for a job."""


@deploy.command()
def kuberay(  # noqa: PLR0913, PLR0917 - one argument an option
    job: JOB,
    image: Annotated[
        str, typer.Option("--image", help="The image, as deploy/Dockerfile makes it.")
    ],
    settings: SET = None,
    inputs: INPUT = None,
    output: OUTPUT = None,
    workers: Annotated[int, typer.Option(min=1, help="CPU nodes, at most.")] = 4,
    cpus: Annotated[int, typer.Option(min=1, help="Processors a node.")] = 8,
    memory: Annotated[str, typer.Option(help="Memory a node, as Kubernetes writes it.")] = "32Gi",
    gpu_workers: Annotated[int, typer.Option(min=0, help="GPU nodes, at most.")] = 0,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs a GPU node.")] = 1,
    secret: Annotated[
        str | None, typer.Option(help="A Secret whose keys become variables: credentials.")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--service-account", help="The pods' account: its role.")
    ] = None,
) -> None:
    """A ConfigMap and a RayJob for this job: `tamis deploy kuberay JOB --image I | kubectl apply -f -`."""
    from tamis.jobs.cluster.manifests import Fleet
    from tamis.jobs.commands.deploy import print_manifests
    from tamis.jobs.loading import Request

    request = Request(job, inputs or (), output, settings or ())
    fleet = Fleet(image, workers, cpus, memory, gpu_workers, gpus, secret, account)
    print_manifests(request, fleet)
