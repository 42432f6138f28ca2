"""A line about work that takes longer than a person waits without a word."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from tamis.jobs.terminal import display
from tamis.schemas.errors import ModelError

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


def weights_of(embeds: Sequence[Any]) -> str | None:
    """A line about steps whose encoders' weights may have to be fetched; None where there is no such encoder."""
    if not embeds:
        return None
    from tamis.pipeline.steps.embed.config import FILE_MARKS

    named = [step.encoder for step in embeds if step.encoder.partition(":")[0] in FILE_MARKS]
    if not named:
        return None
    return (
        f"looking for the weights of {' and '.join(named)}: what is not on this machine is fetched once; "
        "HF_HUB_OFFLINE=1 does not ask the hub"
    )


def look_for_weights(steps: Sequence[Any]) -> None:
    """Have the weights here that a finished run's vectors are known by; what is wrong with them is said later."""
    embeds = [step for step in steps if step.makes_embedding]
    said = weights_of(embeds)
    if said is None:
        return
    from tamis.pipeline import encoders

    with told_after(said), suppress(ModelError):
        for embed in embeds:
            encoders.describe(embed.spec, embed.precision)
