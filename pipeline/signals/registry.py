"""The signals that a job can name, and the origin of their values in a job.

`resolve` needs only names and installed packages and loads no model, so that a job with an unavailable signal is
refused before anything runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from tamis.pipeline.inputs.picture_paths import among, unopened
from tamis.pipeline.signals.caption_signals import CAPTION_SIGNALS
from tamis.pipeline.signals.kinds import HeadSignal, ListSignal, Need, Signal
from tamis.pipeline.signals.picture_signals import PICTURE_SIGNALS
from tamis.pipeline.signals.plugin import COLUMNS
from tamis.schemas.errors import JobError
from tamis.schemas.step import Plugged
from tamis.schemas.tables import find_column

SIGNALS: dict[str, Signal] = {**CAPTION_SIGNALS, **PICTURE_SIGNALS}
"""The built-in signals by name. Every other column of the input is a signal too, under its own name."""


@dataclass(frozen=True)
class Origin:
    """Origin of a signal's values in one job: exactly one of the last six fields is set."""

    name: str
    needs: Need
    signal: Signal | None = None
    column: str | None = None
    """The input's own name of the column that has the values."""
    head: str | None = None
    """The path of the head."""
    words: str | None = None
    """The path of the list of words."""
    classifier: str | None = None
    """The path of the classifier of captions."""
    plugin: str | None = None
    """The file or package with the user's function."""


def resolve(
    name: str,
    *,
    available: Collection[str],
    columns: Sequence[str],
    heads: Mapping[str, str],
    lists: Mapping[str, str],
    plugged: Mapping[str, Plugged],
    classifiers: Mapping[str, str],
) -> Origin:
    """Origin of the values of signal ``name``: by a file of the job, else computed, else the input's column.

    Args:
        name: a built-in signal, a name of a file or function of the job, or a column of the input, in any case.
        available: those of "text", "width", "height", "image_size" that ingest can fill, and "pixels" with pictures.
        columns: the names of the input's own columns.
        heads: signal name -> path of a head file.
        lists: signal name -> path of a list of words.
        plugged: signal name -> what is known of the user's function.
        classifiers: signal name -> path of a classifier of captions.

    Raises:
        JobError: the signal has no origin; the message names the extra or the column to add.
    """
    if name in heads:
        return Origin(name, "embedding", head=heads[name])
    if name in plugged:
        return _of_plugin(name, plugged[name], available, columns)
    if name in lists or name in classifiers:
        if "text" not in available:
            raise JobError(f"{name} needs text, and {_columns_there(columns)}")
        if name in lists:
            return Origin(name, "list", words=lists[name])
        return Origin(name, "classifier", classifier=classifiers[name])
    signal = SIGNALS.get(name)
    if signal is not None and signal.reads and set(signal.reads) <= set(available):
        if signal.missing():
            raise JobError(_not_installed(name, signal, columns))
        return Origin(name, signal.needs, signal=signal)
    column = find_column((signal and signal.column) or name, list(columns))
    if column is not None:
        return Origin(name, "column", column=column)
    raise JobError(_no_origin(name, signal, available, columns))


def _of_plugin(
    name: str, function: Plugged, available: Collection[str], columns: Sequence[str]
) -> Origin:
    read = {COLUMNS[parameter] for parameter in function.reads} - {"key"}
    lacking = sorted(read - set(available))
    if lacking:
        raise JobError(f"{name} reads {', '.join(lacking)}, and {_columns_there(columns)}")
    return Origin(name, "pixels" if "pixels" in read else "plugin", plugin=function.source)


def _not_installed(name: str, signal: Signal, columns: Sequence[str]) -> str:
    packages = ", ".join(signal.missing())
    remedy = (
        f"{name} needs the extra `{signal.extra}` ({packages}): pip install 'tamis[{signal.extra}]'"
    )
    column = find_column(signal.column or name, list(columns))
    return f"{remedy}; or name the input's column {column}" if column else remedy


def _no_origin(
    name: str, signal: Signal | None, available: Collection[str], columns: Sequence[str]
) -> str:
    has = _columns_there(columns)
    if isinstance(signal, HeadSignal):
        return f"{name}: name a head file (heads: {{{name}: PATH}}) or add a column {signal.column}; {has}"
    if isinstance(signal, ListSignal):
        return f"{name}: name a list of words (lists: {{{name}: PATH}}) or add a column {signal.column}; {has}"
    if signal is not None:
        lacks = ", ".join(read for read in signal.reads if read not in available)
        bare = "" if "pixels" in available or lacks == "text" else _unopened(columns)
        return f"{name} needs {lacks}, or a column {signal.column or name}; {has}{bare}"
    close = get_close_matches(name, [*SIGNALS, *columns], n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{name}: no such signal or column{hint}; {has}"


def _unopened(columns: Sequence[str]) -> str:
    """A word about an input without pictures, and about a column of it that names some."""
    named = among(columns)
    return f", and no pictures: {unopened(named[0])}" if named else ", and no pictures"


def _columns_there(columns: Sequence[str]) -> str:
    if columns:
        return f"the input has columns {', '.join(columns)}"
    return "the input has no columns of its own"
