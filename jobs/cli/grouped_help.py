"""The list of commands that `tamis --help` shows: in groups, each with its whole first sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup

from tamis.jobs.terminal.complaints import of_usage

GROUPS: Mapping[str, Sequence[str]] = {
    "Begin": ("init", "presets", "plan", "tune", "run"),
    "Look at a run": ("audit", "explain", "report", "browse", "search", "verify"),
    "Ask for another": ("whatif", "materialize", "diff", "contains", "evaluate", "budget", "fit"),
    "Use it elsewhere": ("tag", "export", "clean"),
    "On a cluster": ("submit", "status", "logs", "cancel", "resume", "jobs", "deploy"),
}
"""Title -> its commands, in the order in which they are shown."""


class GroupedCommands(TyperGroup):
    """Commands whose help lists them by GROUPS, and whose errors of usage are fit for a terminal."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read what stands before a command's name."""
        with of_usage():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Read the command's name and what stands behind it, and call it."""
        with of_usage():
            return super().invoke(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section a group. A command that is in none stands under "Others"."""
        known = {name for names in GROUPS.values() for name in names}
        others = [name for name in self.list_commands(ctx) if name not in known]
        for title, names in {**GROUPS, "Others": others}.items():
            rows = [
                (name, _first_sentence(command.help or ""))
                for name in names
                if (command := self.get_command(ctx, name)) is not None
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _first_sentence(text: str) -> str:
    """The first sentence of a help text, on one line."""
    paragraph = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return re.split(r"(?<=\.)\s", paragraph)[0]
