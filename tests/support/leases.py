"""Runs that reach for one lock at the same moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from tamis.pipeline.store.lease import Lease
from tamis.schemas.errors import StateError


def assert_that_one_of_six_holds(folder: Path, prepare: Callable[[Lease], None]) -> None:
    """Six threads, each a process of its own to the others, take the lock of ``folder``; then nothing is left."""
    start = threading.Barrier(6)
    held, refused = list[Lease](), list[str]()

    def take() -> None:
        mine = Lease(str(folder))
        mine._identity["space"] = f"pid:[{threading.get_ident()}]"
        prepare(mine)
        start.wait()
        try:
            mine.__enter__()
        except StateError as error:
            refused.append(str(error))
        else:
            held.append(mine)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1, refused
    held[0].check_now()
    held[0].__exit__(None, None, None)
    assert os.listdir(folder) == []
