"""Processes of this machine, and whether their ids mean the same to another that tells of one."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def boot() -> str | None:
    """The kernel's random id of this boot; None on systems other than Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def namespace() -> str | None:
    """The namespace that this process's id belongs to, such as a container's; None on systems other than Linux."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def start_time(process: int) -> str | None:
    """Start of a process of this machine, in the kernel's ticks, since ids are used again; None if it is not known."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def is_running(process: int, started: str | None) -> bool:
    """Whether the process that had this id, and began at ``started``, has not ended; true where that is not known."""
    if process <= 0:
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is somebody else's
    now = start_time(process)
    return now is None or now == started
