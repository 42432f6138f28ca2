"""What happens to the command line, and to this process, before a command begins: most of a short one is imports."""

from __future__ import annotations

import copy
import gc
import os
from collections.abc import Sequence

import typer

GARBAGE = 50_000
"""Objects that are made before garbage is looked for; Python's own number is 700."""


def quicken() -> None:
    """Look for no garbage among what is imported, and for no plugins of pydantic in the metadata of every package."""
    gc.set_threshold(GARBAGE)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def spread(arguments: Sequence[str]) -> list[str]:
    """``--set a=1 b=2`` as ``--set a=1 --set b=2``: several values may follow one ``--set``."""
    spread: list[str] = []
    several = ""
    for argument in arguments:
        follows = spread[-1] if spread else ""
        if argument.startswith("-"):
            several = argument if argument == "--set" else ""
        elif several and follows != several:
            if "=" in argument:
                spread.append(several)
            else:
                several = ""
        spread.append(argument)
    return spread


def only(app: typer.Typer, arguments: Sequence[str]) -> typer.Typer:
    """``app`` with the command alone that is asked for: typer builds all that there are, at every call."""
    asked = [
        command
        for command in app.registered_commands
        if command.callback is not None and [command.callback.__name__] == list(arguments[:1])
    ]
    if not asked:
        return app
    one = copy.copy(app)
    one.registered_commands, one.registered_groups = asked, []
    one.add_typer(typer.Typer())  # with a group beside it, it stays a command that is named
    return one
