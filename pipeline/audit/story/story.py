"""The story of one sample: its row in the input, each step's values and decision, its partner, and its shard.

A story is plain values, which the command prints and ``--json`` writes. It is read from stored tables; only the
comparison of signals with the job's bounds is computed.
"""

from __future__ import annotations

from typing import Any

from tamis.pipeline.audit.reading import concept_names
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.story.onward import onward
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.steps.shared.audit import Row, StepAudit
from tamis.pipeline.tables.sids import part_of, row_of
from tamis.pipeline.tasks.product import Kind
from tamis.schemas.ledger import Reason, likeness, meaning

Audit = StepAudit[Any]

Story = dict[str, Any]

NAMES = ("uid", "sid", "source", "key", "url", "text")
KEY_DIGITS = 12
"""Of a key that is a number, at most: img2dataset's have nine."""

VERDICT = ("reason", "rule", "value", "bound", "failed", "message", "error_offset", "partner_value")


def stories(run: FinishedRun, name: str, limit: int) -> tuple[int, list[Story]]:
    """The number of samples that a uid, key or URL names, and the stories of the first ``limit``."""
    rows = run.find(name.lower() if is_uid(name) else name)
    return len(rows), [tell(run, row) for row in rows[:limit]]


def padded_key(run: FinishedRun, name: str) -> str | None:
    """The key that a number stands for when its leading zeros are left out: 000000005 for 5; None where no sample, or
    samples of several keys, could be meant.
    """
    if not name.isdecimal() or len(name) > KEY_DIGITS:
        return None
    number = str(int(name))
    keys = [number.zfill(width) for width in range(len(number), KEY_DIGITS + 1)]
    found = [key for key in keys if key != name and run.find(key)]
    return found[0] if len(found) == 1 else None


def is_uid(name: str) -> bool:
    """Tell whether ``name`` is 32 hex digits."""
    return len(name) == 32 and all(digit in "0123456789abcdefABCDEF" for digit in name)


def tell(run: FinishedRun, row: Row) -> Story:
    """The story of the sample of a ledger row."""
    read = _read(run, row)
    steps = [_step(run, row, "ingest", None)]
    if row["source"].endswith("/"):  # of a folder's bytes nobody knows where they begin
        steps[0].pop("error_offset", None)
    reached = row["step"] != "ingest"
    for name, audit in run.audits.items():
        steps.append(_step(run, row, name, audit if reached else None, reached))
        reached = reached and row["step"] != name
    return {
        **{name: row[name] for name in NAMES},
        "kept": row["kept"],
        "read": read,
        "where": format_of(run.input_of(row["sid"])).where({"key": row["key"], **(read or {})}),
        "steps": steps,
        "dropped_by": row["step"],
        "shard": row["shard"],
        "shard_key": row["shard_key"],
    }


def _step(
    run: FinishedRun, row: Row, name: str, audit: Audit | None, reached: bool = True
) -> Story:
    """One step of a sample's story. ``audit``: the step's; None for ingest, and if the sample did not reach it."""
    story: Story = {"step": name, "outcome": _outcome(run, row, name, reached)}
    names = run.signals_of(name) if audit is not None else run.made_by(name, Kind.SIGNAL)
    signals = {signal: row.get(signal) for signal in names}
    if any(value is not None for value in signals.values()):
        story["signals"] = signals
    rules = audit.rules(row) if audit is not None else []
    if rules:
        story["rules"] = rules
    if name == _placed_by(run, row) and row["cluster"] is not None:
        story["place"] = _place(run, row, name, audit)
    if row["step"] == name:
        story |= {key: row[key] for key in VERDICT if row[key] is not None}
        config = run.settings_of(name)
        story["meaning"] = meaning(row["reason"], config)
        measure = likeness(row["reason"], config)
        if measure:
            story["measure"] = measure
        story |= _others(run, row)
        mends = audit.mends(run, row) if audit is not None else []
        if audit is not None and mends:
            story["passes_with"] = mends
            if audit.mends_one:
                story["then"] = onward(run, row, name)
    return story


def _outcome(run: FinishedRun, row: Row, name: str, reached: bool) -> str:
    if row["step"] == name:
        return "dropped"
    if not reached:
        return "not reached"
    if name in run.audits and run.audits[name].config.shard_size is not None:
        return "written"
    decides = name in {step.step for step in run.manifest.steps}
    return "passed" if decides else "computed"


def _placed_by(run: FinishedRun, row: Row) -> str | None:
    """The clustering step whose cluster and rank a ledger row has: the one that dropped it, else the last."""
    return row["step"] if row["step"] in run.placing else next(reversed(run.placing), None)


def _place(run: FinishedRun, row: Row, name: str, audit: Audit | None) -> Story:
    place = {key: row[key] for key in ("cluster", "rank", "distance", "quota")}
    measures = audit.config.measures if audit is not None else ()
    table = run.quotas(name) if measures else None
    if table is not None:
        concept = table.slice(row["cluster"], 1).to_pylist()[0]
        place |= {key: concept[key] for key in ("size", *measures)}
    if audit is not None and audit.config.by_lot:
        place["by_lot"] = True
    if name == run.placing[-1]:
        place["name"] = concept_names.name(run, row["cluster"])
    return place


def _others(run: FinishedRun, row: Row) -> Story:
    """The partner and the survivor, each with its own fate, where the row has any. The survivor of a repeated uid is
    the sample that the uid names.
    """
    others: Story = {}
    uids = {role: row[f"{role}_uid"] for role in ("partner", "survivor")}
    if row["reason"] == Reason.REPEATED_UID:
        uids["survivor"] = row["uid"]
    for role, uid in uids.items():
        if uid is not None:
            others[role] = {"uid": uid, **fate(run, uid)}
    return others


def fate(run: FinishedRun, uid: str) -> Story:
    """Names, perceptual hash and fate of another sample; empty if the ledger does not have it."""
    row = run.named(uid)
    if row is None:
        return {}
    read = _read(run, row) or {}
    story = {key: row[key] for key in ("source", "key", "url", "text", "kept", "step", "reason")}
    return story | ({"phash": read["phash"]} if "phash" in read else {})


def _read(run: FinishedRun, row: Row) -> Story | None:
    """The row that ingest stored of a sample, as text; None where ``tables/`` has been cleared, or it is redacted."""
    sid = row["sid"]
    table = None if run.is_redacted(row) else run.ingested(part_of(sid))
    if table is None:
        return None
    raw = table.slice(row_of(sid), 1).to_pylist()[0]
    fields = {key: value for key, value in raw.items() if value is not None and key not in NAMES}
    for key in ("sha256", "pixels"):
        if key in fields:
            fields[key] = fields[key].hex()
    if "phash" in fields:
        fields["phash"] = f"{fields['phash']:016x}"
    return fields


def pictured(run: FinishedRun, story: Story) -> list[Story]:
    """The samples whose pictures are shown side by side: the sample itself (``role`` sample), partner, survivor."""
    names = ("uid", "sid", "source", "key", "text", "kept")
    own = {name: story[name] for name in names} | {"step": story["dropped_by"]}
    shown: dict[int, Story] = {story["sid"]: {"role": "sample", **own}}
    for step in story["steps"]:
        for role in ("partner", "survivor"):
            row = run.named(step[role]["uid"]) if role in step else None
            if row is not None:
                known = shown.get(row["sid"])
                roles = f"{known['role']} and {role}" if known else role
                shown[row["sid"]] = {"role": roles, **{n: row[n] for n in (*names, "step")}}
    return list(shown.values())
