"""The sample of another run that decided about one: the nearest of a target, or what stands in a list of exclusions."""

from __future__ import annotations

from dataclasses import dataclass

from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.reading.pictures import Pictures
from tamis.pipeline.audit.story.story import Story
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.stored_job import read_job
from tamis.schemas.errors import TamisError

COLUMNS = ("uid", "sid", "source", "key", "text", "kept", "step")


@dataclass(frozen=True)
class Stranger:
    """A sample to be shown beside another: its names and fate, with its ``role``, and its picture as WebP."""

    shown: Story
    picture: bytes


def stranger(run: FinishedRun, story: Story, side: int) -> tuple[Stranger | None, list[str]]:
    """The sample elsewhere that decided about the sample of a story, ``side`` pixels at most; and why there is none.

    Where the other run cannot be read, or its pictures cannot, the sample of that uid in ``run`` is as good.
    """
    named = _named(run, story)
    if named is None:
        return None, []
    path, uid, role = named
    try:
        other = open_run(storage.absolute(path))
        found, notes = _pictured(other, uid, f"{role}, in {storage.redact(path)}", side)
    except (TamisError, OSError) as error:
        found, notes = None, [f"{role}: {error}"]
    if found is None:
        found, _ = _pictured(run, uid, role, side)
    return found, [] if found is not None else notes


def _named(run: FinishedRun, story: Story) -> tuple[str, str, str] | None:
    """The other run, the uid there, and the role of the sample that decided; None where there is none."""
    step = next((one for one in story["steps"] if one["outcome"] == "dropped"), None)
    audit = None if step is None else run.audits.get(step["step"])
    if step is None or audit is None or "key" in step.get("partner", {}):
        return None  # a partner that this run has is shown already
    row = {"message": step.get("message"), "partner_uid": step.get("partner", {}).get("uid")}
    named = audit.elsewhere(row)
    if named is None:
        return None
    try:  # the manifest may have the other run's name alone, and the job its path
        configs = [config for config in read_job(run.root).steps if config.name == step["step"]]
    except TamisError:
        return named
    return type(audit)(configs[0]).elsewhere(row) if configs else named


def _pictured(
    run: FinishedRun, uid: str, role: str, side: int
) -> tuple[Stranger | None, list[str]]:
    row = run.named(uid)
    if row is None or run.is_redacted(row):
        return None, []
    pictures = Pictures(run)
    data = pictures.encoded([row["sid"]], side).get(row["sid"])
    if data is None:
        return None, [f"{role}: {note}" for note in pictures.notes]
    return Stranger({"role": role, **{name: row[name] for name in COLUMNS}}, data), []
