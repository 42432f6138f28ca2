"""Arguments and help of the commands for a Ray cluster; ``jobs/commands/cluster.py`` does their work."""

from __future__ import annotations

from typing import Annotated

import typer

from tamis.jobs.cli.options import INPUT, JOB, JSON, OUTPUT, SET

commands = typer.Typer(rich_markup_mode=None)

ID = Annotated[str, typer.Argument(metavar="ID", help="The id that `tamis submit` printed.")]
ADDRESS = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        envvar="RAY_API_SERVER_ADDRESS",
        help="The Ray cluster's job server: http://HEAD:8265",
    ),
]
INSTALLED = Annotated[
    bool,
    typer.Option(
        "--installed", help="Send the job alone, not the project: the cluster's image has tamis."
    ),
]
GROWS = Annotated[
    bool,
    typer.Option("--grows", help="Wait for nodes that the cluster adds as needed."),
]
ENV = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        metavar="NAME[=VALUE]",
        help="A variable for the job's processes. The cluster's dashboard shows it.",
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
    """Run a job on a Ray cluster that has what it needs. Prints the job's id, then its output."""
    from tamis.jobs.commands.cluster import SendOptions, submit_job
    from tamis.jobs.job_files.load import Request

    request = Request(job, inputs or (), output, settings or ())
    submit_job(request, address, SendOptions(installed, grows, env or (), detach, image))


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
    from tamis.jobs.commands.cluster import SendOptions, resume_job

    resume_job(job_id, address, SendOptions(installed, grows, env or (), detach, image))


@commands.command()
def status(job_id: ID, address: ADDRESS = None, json: JSON = False) -> None:
    """Show a submitted job's status, and its last lines."""
    from tamis.jobs.commands.cluster import show_status

    show_status(job_id, address=address, json=json)


@commands.command()
def logs(
    job_id: ID,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the job ends.")
    ] = False,
    address: ADDRESS = None,
) -> None:
    """Print a submitted job's output."""
    from tamis.jobs.commands.cluster import show_logs

    show_logs(job_id, address=address, following=follow)


@commands.command()
def cancel(job_id: ID, address: ADDRESS = None) -> None:
    """Stop a submitted job. Its finished tasks stay; `resume` goes on from there."""
    from tamis.jobs.commands.cluster import cancel_job

    cancel_job(job_id, address=address)


@commands.command()
def jobs(address: ADDRESS = None, json: JSON = False) -> None:
    """List the jobs that a Ray cluster remembers, newest first."""
    from tamis.jobs.commands.cluster import list_jobs

    list_jobs(address=address, json=json)


deploy = typer.Typer(no_args_is_help=True)
commands.add_typer(deploy, name="deploy")


@deploy.callback()
def _deploy() -> None:
    """Print a job's manifests for a cluster's own tools."""


@deploy.command()
def kuberay(  # noqa: PLR0913, PLR0917 - one argument an option
    job: JOB,
    image: Annotated[
        str, typer.Option("--image", help="A container image that has tamis (deploy/Dockerfile).")
    ],
    settings: SET = None,
    inputs: INPUT = None,
    output: OUTPUT = None,
    workers: Annotated[int, typer.Option(min=1, help="Most CPU nodes.")] = 4,
    cpus: Annotated[int, typer.Option(min=1, help="Processors a node.")] = 8,
    memory: Annotated[
        str, typer.Option(help="Memory a node, as a quantity of Kubernetes.")
    ] = "32Gi",
    gpu_workers: Annotated[int, typer.Option(min=0, help="Most GPU nodes.")] = 0,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs a GPU node.")] = 1,
    secret: Annotated[
        str | None, typer.Option(help="A Secret whose keys become variables: credentials.")
    ] = None,
    account: Annotated[
        str | None,
        typer.Option("--service-account", help="The pods' account, which has their role."),
    ] = None,
) -> None:
    """Print a ConfigMap and a RayJob for a job: `tamis deploy kuberay JOB --image I | kubectl apply -f -`."""
    from tamis.jobs.cluster.manifests import Fleet
    from tamis.jobs.commands.deploy import print_manifests
    from tamis.jobs.job_files.load import Request

    request = Request(job, inputs or (), output, settings or ())
    fleet = Fleet(image, workers, cpus, memory, gpu_workers, gpus, secret, account)
    print_manifests(request, fleet)
