"""A line about work that takes longer than a person waits without a word."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tamis.jobs.terminal import display
from tamis.schemas.job import Job

SECONDS = 3.0


@contextmanager
def told_after(text: str | None, seconds: float = SECONDS) -> Iterator[None]:
    """Print a note where the block takes longer; None prints nothing."""
    timer = threading.Timer(seconds, display.note, [text])
    timer.daemon = True
    if text is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def weights_of(job: Job) -> str | None:
    """The slow part of planning a job: weights that may have to be fetched; None where it has no such encoder."""
    if not job.embeds:
        return None
    from tamis.pipeline.steps.embed.config import FILE_MARKS

    named = [step.encoder for step in job.embeds if step.encoder.partition(":")[0] in FILE_MARKS]
    if not named:
        return None
    return (
        f"looking for the weights of {' and '.join(named)}: what is not on this machine is fetched once; "
        "HF_HUB_OFFLINE=1 does not ask the hub"
    )
