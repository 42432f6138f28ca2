"""A server of `browse` in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tamis.pipeline.audit.browse.server import Server


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Have it answer until the block ends."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.end()
        thread.join()
