"""Whether the result in a run directory is whole: ``manifest.json`` stands only while every file that it lists does."""

from __future__ import annotations

from tamis.pipeline.store import lease, storage
from tamis.schemas.errors import StateError
from tamis.schemas.layout import MANIFEST


def withdraw(root: str) -> None:
    """Remove the manifest of a run whose result is about to change: until a new one is written it is not finished."""
    path = storage.join(root, MANIFEST)
    if storage.exists(path):
        storage.delete(path)


def state(root: str) -> str:
    """Words for a run whose result is not whole: at work, or stopped."""
    holder = lease.holder_of(root)
    shown = storage.redact(root)
    if holder is not None:
        return (
            f"{shown}: the run is not finished: it is at work ({holder}), or was stopped: wait for it, or "
            f"`tamis run {shown}/job.yaml` goes on with it"
        )
    return f"{shown}: the run is not finished: `tamis run {shown}/job.yaml` goes on with it"


def note(root: str) -> str | None:
    """Words for a finished run that is at work again; None for one that is not."""
    holder = lease.holder_of(root)
    if holder is None:
        return None
    return (
        f"{storage.redact(root)}: a run is at work in it again, or was stopped ({holder}): this is its last finished "
        "result"
    )


class Watched:
    """The result of a finished run, for a reader that takes long: it may be done again meanwhile."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._first = self._now()

    def _now(self) -> str | None:
        file = storage.find(storage.join(self._root, MANIFEST))
        return None if file is None else f"{file.size} {file.stamp}"

    def check(self) -> None:
        """Check that the result is still the one that was there at first.

        Raises:
            StateError: the run has been done again, or is at work.
        """
        if self._now() != self._first:
            raise StateError(
                f"{storage.redact(self._root)}: the run has been done again since it was opened, or is at work: what "
                "was read of it may be half old and half new: open it anew"
            )
