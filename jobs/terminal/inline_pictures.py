"""Pictures in a terminal that shows them: kitty's graphics protocol, and iTerm2's inline images."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from typing import Literal

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.story.story import Story, pictured

Protocol = Literal["kitty", "iterm2"]

CHUNK = 4096
"""Characters of one of kitty's escape sequences, at most."""
SIDE = 240
"""Pixels of a picture, at most."""


def protocol(environment: Mapping[str, str]) -> Protocol | None:
    """What the terminal says that it understands; inside tmux and screen, which keep such sequences, nothing."""
    if environment.get("TERM", "").startswith(("screen", "tmux")):
        return None
    program = environment.get("TERM_PROGRAM", "")
    kitty = "KITTY_WINDOW_ID" in environment or environment.get("TERM") == "xterm-kitty"
    if kitty or program == "ghostty":
        return "kitty"
    return "iterm2" if program in {"iTerm.app", "WezTerm"} else None


def written(png: bytes, how: Protocol) -> str:
    """The escape sequences that draw a PNG where the cursor is."""
    data = base64.b64encode(png).decode()
    if how == "iterm2":
        return f"\033]1337;File=inline=1;size={len(png)}:{data}\a"
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    first = "a=T,f=100,"
    drawn = ""
    for number, chunk in enumerate(chunks, 1):
        drawn += f"\033_G{first if number == 1 else ''}m={int(number < len(chunks))};{chunk}\033\\"
    return drawn


def show_pictures(run: FinishedRun, story: Story) -> None:
    """Draw the sample's picture, and beside it its partner's and survivor's, where the terminal can."""
    how = protocol(os.environ)
    if how is None or not sys.stdout.isatty():
        return
    from tamis.pipeline.audit.reading.pictures import side_by_side

    shown = pictured(run, story)
    png = side_by_side(run, [other["sid"] for other in shown], SIDE)
    if png is not None:
        roles = ", ".join(other["role"] for other in shown)
        sys.stdout.write(f"\n{written(png, how)}\n{roles}, from left to right\n")
