"""Arguments and help of each command; ``jobs/commands`` does the work, and is imported when a command is called.

An error that a person can mend is one line on standard error and exit code 2.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from tamis.jobs.cli import cluster, compare, evaluate, explore, fit, init, start
from tamis.jobs.cli.grouped_help import GroupedCommands
from tamis.jobs.cli.options import (
    ACCEPT,
    ADDRESS,
    BY,
    CENTROIDS,
    COSTS,
    CPUS,
    EDGES,
    INPUT,
    JOB,
    JOB_OR_NONE,
    JSON,
    LOCAL,
    MOST,
    OUTPUT,
    PROGRESS,
    RATES,
    ROWS,
    RUN,
    SAMPLE,
    SET,
    SHARE,
    SHEET,
    SQL,
    VERSION,
    refuse_without,
)
from tamis.jobs.terminal.complaints import one_line
from tamis.pipeline.host import crash_log
from tamis.schemas.errors import StorageError, TamisError

BUG = 70
"""Exit code after an error of the program itself (EX_SOFTWARE of sysexits.h)."""

app = typer.Typer(
    name="tamis",
    cls=GroupedCommands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def about(
    shown: VERSION = False,
) -> None:
    """Curate image-text pairs: filter, deduplicate, prune by density, and explain why each sample was dropped."""
    del shown


@app.command()
def run(  # noqa: PLR0913, PLR0917 - one argument an option
    job: JOB_OR_NONE = None,
    settings: SET = None,
    inputs: INPUT = None,
    output: OUTPUT = None,
    cpus: CPUS = None,
    accept_changed: ACCEPT = False,
    address: ADDRESS = None,
    local: LOCAL = None,
    centroids: CENTROIDS = None,
    progress: PROGRESS = "auto",
    json: JSON = False,
) -> None:
    """Run a job, or the rest of it: the same command resumes."""
    from tamis.jobs.commands.run import Place, run_job
    from tamis.jobs.job_files.load import Request

    request = Request(job, inputs or (), output, settings or (), cpus, centroids)
    place = Place(address, local)
    run_job(request, place, accept_changed=accept_changed, progress=progress, json=json)


@app.command()
def plan(  # noqa: PLR0913, PLR0917 - one argument an option
    job: JOB_OR_NONE = None,
    settings: SET = None,
    inputs: INPUT = None,
    output: OUTPUT = None,
    accept_changed: ACCEPT = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Predict the costs there: '8x(16cpu,64GB,1gpu)@2.50', @ the price of a node and hour; several "
            "groups with +; or a YAML file. A sample of the parts is run here.",
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download/--no-download",
            help="Fetch the weights of encoders that are not on this machine; by default `tamis run` does.",
        ),
    ] = False,
    rows: ROWS = None,
    sample: SHARE = None,
    rates: RATES = "",
    here: Annotated[
        bool,
        typer.Option("--here", help="With --cluster: run the sample in this process, without Ray."),
    ] = False,
    json: JSON = False,
) -> None:
    """Check a job and show its steps. Computes nothing; with --cluster it runs a sample and predicts the costs."""
    from tamis.jobs.commands.plan import plan_job
    from tamis.jobs.job_files.load import Request

    request = Request(job, inputs or (), output, settings or ())
    if cluster is None:
        _need_cluster(
            {"--rows": rows, "--sample": sample, "--rates": rates or None, "--here": here}
        )
        plan_job(request, accept_changed=accept_changed, download=download, json=json)
        return
    from tamis.jobs.commands.forecast import Question, forecast_job

    forecast_job(request, Question(cluster, rows, sample, rates, here), json_asked=json)


def _need_cluster(options: Mapping[str, object]) -> None:
    refuse_without("--cluster", options, "such as '8x(16cpu,64GB)'")


@app.command()
def tune(
    job: JOB,
    settings: SET = None,
    inputs: INPUT = None,
    sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Batch sizes to try, beside the job's own.")
    ] = "8,16,32,64,128,256",
    samples: Annotated[
        int, typer.Option(min=1, help="Samples to embed in each, from the start of the input.")
    ] = 512,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each size.")] = 3,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the figures; leave the job file as it is.")
    ] = False,
    json: JSON = False,
) -> None:
    """Find the batch size that embeds fastest on this machine, and write it into the job file."""
    from tamis.jobs.commands.tune import Question, tune_job
    from tamis.jobs.job_files.load import Request

    request = Request(job, inputs or (), None, settings or ())
    tune_job(request, Question(sizes, samples, rounds, dry_run), json=json)


@app.command()
def audit(  # noqa: PLR0913, PLR0917 - one argument an option
    run: RUN,
    by: BY = None,
    sample: SAMPLE = None,
    n: MOST = None,
    sql: SQL = None,
    edges: EDGES = None,
    html: SHEET = None,
    costs: COSTS = False,
    json: JSON = False,
) -> None:
    """Show what a run dropped: by step and reason, by input file, by concept; or query its tables, or its costs."""
    from tamis.jobs.commands.audit import audit_run

    if costs:
        from tamis.jobs.commands.costs import show_costs

        show_costs(run, json)
        return
    audit_run(run, by=by, sample=sample, count=n, sql=sql, edges=edges, html=html, json=json)


@app.command()
def explain(
    run: RUN,
    sample: Annotated[str, typer.Argument(metavar="SAMPLE", help="A uid, a key, or a URL.")],
    n: Annotated[
        int, typer.Option("-n", min=1, help="Most samples to show where SAMPLE names several.")
    ] = 5,
    html: Annotated[
        str | None,
        typer.Option(
            "--html", metavar="FILE", help="Write a page instead, with the pictures side by side."
        ),
    ] = None,
    json: JSON = False,
) -> None:
    """Show the whole story of a sample: its data, the values at each step, and why it was kept or dropped."""
    from tamis.jobs.commands.explain import explain_sample

    explain_sample(run, sample, count=n, json=json, html=html)


@app.command()
def whatif(
    run: RUN,
    settings: SET = None,
    n: Annotated[int, typer.Option("-n", min=0, help="Most changed samples to show.")] = 10,
    json: JSON = False,
) -> None:
    """Show which samples other settings would keep or drop, from the stored values of a run."""
    from tamis.jobs.commands.whatif import show_changes

    show_changes(run, settings or (), n, json)


@app.command()
def report(
    run: RUN,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", metavar="FILE", help="The file to write; report.html in the run by default."
        ),
    ] = None,
) -> None:
    """Write one HTML file about a run, for use offline: funnel, thresholds, concepts, duplicates."""
    from tamis.jobs.commands.report import write_report

    write_report(run, output)


@app.command()
def materialize(
    run: RUN,
    output: Annotated[
        str, typer.Option("--as", metavar="NEW", help="The new subset's own run directory.")
    ],
    settings: SET = None,
    local: LOCAL = None,
    progress: PROGRESS = "auto",
    json: JSON = False,
) -> None:
    """Write the subset that `whatif` shows: by other settings, from the stored values of a run."""
    from tamis.jobs.commands.materialize import materialize_run

    materialize_run(run, output, settings or (), local=local, progress=progress, json=json)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="RUN1", help="A finished run.")],
    after: Annotated[str, typer.Argument(metavar="RUN2", help="Another finished run.")],
    n: Annotated[int, typer.Option("-n", min=0, help="Most moved samples to show.")] = 10,
    json: JSON = False,
) -> None:
    """Compare two runs: settings, inputs, and the samples that one kept and the other dropped."""
    from tamis.jobs.commands.diff import diff_runs

    diff_runs(before, after, n, json=json)


@app.command()
def verify(
    run: RUN,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Also read the tables between the steps, and precomputed embeddings.",
        ),
    ] = False,
    json: JSON = False,
) -> None:
    """Recount and rehash a run's result and inputs against its manifest. Exits with 1 at any difference."""
    from tamis.jobs.commands.verify import verify_run

    verify_run(run, deep=deep, json=json)


@app.command()
def clean(
    run: RUN,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it nothing is.")] = False,
    json: JSON = False,
) -> None:
    """Show which tables of a run may go, for only an exchange needed them, and what becomes slower."""
    from tamis.jobs.commands.clean import clean_run

    clean_run(run, yes=yes, json=json)


@app.command()
def browse(
    run: RUN,
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65535, help="The port to listen on; 0 takes a free one."),
    ] = 8642,
    beside: Annotated[
        str | None,
        typer.Option(metavar="RUN2", help="Another run: the samples of which it thinks otherwise."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="The address to listen on; another than this machine's own asks browsers for a key, which stands in "
            "the address that is printed. 0.0.0.0: all.",
        ),
    ] = "127.0.0.1",
    show: Annotated[
        bool, typer.Option("--open", help="Open it in this machine's web browser.")
    ] = False,
) -> None:
    """Show a run in a web browser: filter its samples, read their stories, move a threshold."""
    from tamis.jobs.commands.browse import browse_run

    browse_run(run, host, port, beside, shown=show)


app.add_typer(explore.commands)
app.add_typer(init.commands)
app.add_typer(compare.commands)
app.add_typer(evaluate.commands)
app.add_typer(fit.commands)
app.add_typer(cluster.commands)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script.

    Exit codes: 0; 2 after an error that a person can mend; 70 after a bug; 130 after Ctrl-C; 143 after SIGTERM.
    """
    start.open_streams()
    start.forget_checks()
    signal.signal(signal.SIGTERM, start.terminate)
    start.speed_up_imports()
    try:
        arguments = start.one_value_each(sys.argv[1:] if arguments is None else arguments)
        start.check_text(arguments)
        start.check_quoted(arguments)
        _ended_well(start.with_called_command(app, arguments), arguments)
    except TamisError as error:
        _complain(str(error))
    except OSError as error:
        if error.filename is None and start.is_of_printing(error):
            _complain(str(start.unprinted(error)))
        if crash_log.lacks_processes(error):
            _complain(crash_log.NO_PROCESS)
        if error.filename is None or error.strerror is None:
            _complain(crash_log.write(error), BUG)
        _complain(
            f"{error.filename}: {error.strerror}: check the path, its permissions, and the disk"
        )
    except MemoryError as error:
        _complain(
            f"memory ran out ({str(error) or 'no more is known'}): ask for less at once, or use a larger machine"
        )
    except Exception as error:  # noqa: BLE001 - nobody is shown a traceback
        if crash_log.lacks_processes(error):
            _complain(crash_log.NO_PROCESS)
        _complain(crash_log.write(error), BUG)


def _ended_well(called: typer.Typer, arguments: Sequence[str]) -> None:
    """Call the command; if it ends well, so must what it has read."""
    try:
        called(args=arguments, prog_name="tamis")
    except SystemExit as ended:
        if ended.code not in {0, None}:
            with suppress(StorageError):
                start.check_printed()
            raise
        start.check_at_the_end()
        start.check_printed()
        raise


def _complain(message: str, code: int = 2) -> NoReturn:
    with suppress(StorageError):
        start.check_printed()
    typer.echo(f"tamis: {one_line(message)}", err=True)
    sys.exit(code)
