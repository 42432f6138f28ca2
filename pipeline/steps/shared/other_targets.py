"""What is said of a target that is neither a finished run nor a file that is read."""

from __future__ import annotations

from tamis.pipeline.inputs import unread
from tamis.pipeline.inputs.suffixes import ANY_PICTURE
from tamis.pipeline.steps.shared.config import CAPTIONS, VECTORS
from tamis.pipeline.store import storage

FORMS = (
    f"a target is a finished run, which has manifest.json, or a file: vectors ({', '.join(VECTORS)}), or captions "
    f"({', '.join(CAPTIONS)})"
)

OF_PICTURES = (
    "of pictures a run is the target: make one by a job with this as `input` and `steps: [embed, write]`, and name its "
    "`output`"
)


def why_none(path: str) -> str:
    """What goes on after a path's name in the message that it is no target: what is there instead, and the mend."""
    folder = storage.is_folder(path)
    if not folder and storage.find(path) is None:
        return f" is not there: {FORMS}"
    ending = path.lower().rpartition(".")[2]
    if folder or ending == "tar" or ending in ANY_PICTURE:
        return f" is no finished run, which has manifest.json: {OF_PICTURES}"
    advice = unread.advice(path)
    return f": {advice}" if advice is not None else f" is not read: {FORMS}"
