"""``tamis plan``."""

from __future__ import annotations

from typing import Any

from tamis.jobs.job_files.load import Request, load
from tamis.jobs.terminal import display
from tamis.jobs.terminal.patience import told_after, weights_of
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.encoders import hub
from tamis.pipeline.planning import preview
from tamis.pipeline.runs import plan as planning
from tamis.pipeline.runs import state
from tamis.pipeline.store.storage import is_local
from tamis.schemas.redaction import redact


def plan_job(request: Request, *, accept_changed: bool, download: bool, json: bool) -> None:
    """Check a job, and show its inputs, steps and run directory; with ``download`` have its encoders' weights here.

    Raises:
        TamisError: the job cannot be done as it stands.
    """
    job = load(request)
    weights = weights_of(job.embeds)
    waiting = told_after(weights) if download or weights is None else hub.nothing_fetched()
    with waiting:
        plan = planning.make(job, accept_changed)
        state.check_output(plan)
        overview = preview.preview(plan)
    if json:
        display.echo(display.as_json(overview))
        return
    out = display.console()
    out.print(f"{plan.job.name}: {redact(plan.root)}", soft_wrap=True)
    out.print()
    display.print_table(
        out,
        display.table(
            [
                ("input", "left"),
                ("files", "right"),
                ("bytes", "right"),
                ("samples", "right"),
                ("format", "left"),
            ],
            [_input_row(entry) for entry in overview["inputs"]],
        ),
    )
    for entry in overview["inputs"]:
        for field, column in entry["columns"].items():
            out.print(f"  {entry['name']}: {field} is the column {display.plain(column)}")
    out.print(_sized(overview["sizes"]), soft_wrap=True)
    out.print(_stored(overview["sizes"], is_local(plan.root)), soft_wrap=True)
    out.print(_where(**overview["local"]), soft_wrap=True)
    out.print()
    columns = [("step", "left"), ("settings", "left"), ("reads", "left"), ("makes", "left")]
    display.print_table(
        out, display.table(columns, [_step_row(step) for step in overview["steps"]])
    )
    for note in overview["notes"]:
        out.print(display.plain(f"note: {note}"), soft_wrap=True)


def _input_row(entry: dict[str, Any]) -> list[str]:
    samples = entry["samples"]
    return [
        entry["name"],
        display.count(entry["files"]),
        display.size(entry["bytes"]),
        "counted by ingest" if samples is None else display.count(samples),
        entry["format"],
    ]


def _sized(sizes: dict[str, Any]) -> str:
    """The sizes of the run in one line."""
    about = "" if sizes["counted"] else "about "
    return (
        f"{about}{counted(sizes['parts'], 'part')} in {counted(sizes['bundles'], 'bundle')}; at most "
        f"{counted(sizes['tasks'], 'task')} and {counted(sizes['buckets'], 'bucket')} a step; a task's description "
        f"{display.size(sizes['task_bytes'])} and the driver {display.size(sizes['driver_bytes'])}, at most"
    )


def _stored(sizes: dict[str, Any], local: bool) -> str:
    """What the run takes of memory, disk and requests, in one line."""
    line = (
        f"a task holds {display.size(sizes['task_memory'])} beside its model, tables take "
        f"{display.size(sizes['table_bytes'])}, at most, and shards what is kept of the input"
    )
    if local:
        return line
    asked = f"{display.count(sizes['puts'])} PUTs and {display.count(sizes['gets'])} GETs"
    return f"{line}; {asked}, ${sizes['request_dollars']:,.2f} at $5 and $.40 a million"


def _where(by_itself: bool, below: int) -> str:
    """The executor that `tamis run` would take, and why, in a line."""
    limit = f"a run below {display.count(below)} samples that needs no GPU"
    if by_itself:
        return f"done here without Ray, as {limit} is; with --ray or --address: on Ray"
    return f"done on Ray; {limit} is done without, and with --local any"


def _step_row(step: dict[str, Any]) -> list[str]:
    known = step["kind"] in ("built in", step["step"])
    return [
        step["step"] if known else f"{step['step']} ({step['kind']})",
        _settings(step["settings"]),
        ", ".join(_bare(name) for name in step["reads"]),
        ", ".join(_bare(name) for name in step["makes"]),
    ]


def _bare(name: str) -> str:
    """``signal:words`` as ``words``; an embedding or place keeps its kind, since it may have a step's name."""
    return name.removeprefix("signal:")


def _settings(settings: dict[str, Any]) -> str:
    """A step's settings in short; its signals stand under ``makes``."""
    bounds = settings.get("bounds", {})
    shown = {key: value for key, value in settings.items() if key not in ("names", "bounds")}
    return "; ".join(f"{key} {_flow(value)}" for key, value in {**bounds, **shown}.items())


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_flow(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_flow(inner) for inner in value)
    return display.number(value)
