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
"""Most characters of one of kitty's escape sequences."""
SIDE = 240
"""Most pixels of a picture's side."""


def protocol(environment: Mapping[str, str]) -> Protocol | None:
    """The protocol that the terminal announces; None inside tmux and screen, which do not pass pictures on."""
    if environment.get("TERM", "").startswith(("screen", "tmux")):
        return None
    program = environment.get("TERM_PROGRAM", "")
    kitty = "KITTY_WINDOW_ID" in environment or environment.get("TERM") == "xterm-kitty"
    if kitty or program == "ghostty":
        return "kitty"
    return "iterm2" if program in {"iTerm.app", "WezTerm"} else None


def escape_sequences(png: bytes, kind: Protocol) -> str:
    """The escape sequences that draw a PNG where the cursor is."""
    data = base64.b64encode(png).decode()
    if kind == "iterm2":
        return f"\033]1337;File=inline=1;size={len(png)}:{data}\a"
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    first = "a=T,f=100,"
    sequences = ""
    for number, chunk in enumerate(chunks, 1):
        sequences += (
            f"\033_G{first if number == 1 else ''}m={int(number < len(chunks))};{chunk}\033\\"
        )
    return sequences


def show_pictures(run: FinishedRun, story: Story) -> None:
    """Draw the sample's picture, and beside it its partner's and survivor's, where the terminal can."""
    kind = protocol(os.environ)
    if kind is None or not sys.stdout.isatty():
        return
    from tamis.pipeline.audit.reading.pictures import side_by_side

    shown = pictured(run, story)
    png = side_by_side(run, [other["sid"] for other in shown], SIDE)
    if png is not None:
        roles = ", ".join(other["role"] for other in shown)
        sys.stdout.write(f"\n{escape_sequences(png, kind)}\n{roles}, from left to right\n")
