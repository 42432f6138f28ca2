"""``tamis browse``."""

from __future__ import annotations

import errno
import socket
import threading
import webbrowser

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.commands.explain import in_words
from tamis.jobs.terminal import display
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.server import Server
from tamis.schemas.errors import JobError


def browse_run(path: str, host: str, port: int, beside: str | None, *, shown: bool) -> None:
    """Serve a finished run to web browsers, until Ctrl-C.

    Args:
        path: the run.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        beside: another run, to compare with.
        shown: open it in this machine's browser.

    Raises:
        StateError: no finished run.
        JobError: the port is taken, or this machine has no such address.
    """
    browser = Browser(opened(path), in_words)
    other = None if beside is None else Browser(opened(beside), in_words)
    try:
        server = Server(browser, port, other, host)
    except socket.gaierror as error:
        raise JobError(
            f"--host {host}: {error.strerror}: name an address of this machine"
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise JobError(
                f"--host {host}: is no address of this machine: 0.0.0.0 stands for all it has"
            ) from None
        if error.errno != errno.EADDRINUSE:
            raise
        raise JobError(f"--port {port}: is in use: choose another") from None
    display.echo(
        f"{server.address} shows {path}{f' beside {beside}' if beside else ''} (Ctrl-C ends)"
    )
    if server.access.key is not None:
        display.note(
            "whoever reaches this machine and has that address sees the captions and pictures; it travels unencrypted"
        )
    if shown:  # a browser in text takes the thread that opens it
        threading.Thread(target=_show, args=[server.address], daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        display.echo("ended")
    finally:
        server.end()


def _show(address: str) -> None:
    if not webbrowser.open(address):
        display.note(f"no web browser was found here: open {address}")
