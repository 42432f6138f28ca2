"""``tamis browse``."""

from __future__ import annotations

import errno

from tamis.jobs.commands.explain import in_words
from tamis.jobs.opening import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.server import Server
from tamis.schemas.errors import JobError


def browse_run(path: str, port: int, beside: str | None = None) -> None:
    """Serve a finished run to a web browser on this machine, until Ctrl-C; ``beside``: another, to compare with.

    Raises:
        StateError: no finished run.
        JobError: the port is taken.
    """
    browser = Browser(opened(path), in_words)
    other = None if beside is None else Browser(opened(beside), in_words)
    try:
        server = Server(browser, port, other)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise JobError(f"--port {port}: is in use: choose another") from None
    display.echo(
        f"{server.address} shows {path}{f' beside {beside}' if beside else ''} (Ctrl-C ends)"
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        display.echo("ended")
    finally:
        server.end()
