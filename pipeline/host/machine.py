"""Processors, memory and GPUs for workers of this machine, within what this process may use of them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files with the limit of a container's memory, of both versions of control groups."""

DRIVERS = (("/proc/driver/nvidia/gpus", "*"), ("/dev", "nvidia[0-9]*"))
"""Folder and pattern of what NVIDIA's driver has there for each GPU. Not every container shows the first."""


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def memory() -> int:
    """Bytes of memory: the machine's, or a container's limit."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMITS:
        with suppress(OSError, ValueError):  # no such file, or the word `max`
            found = min(found, int(Path(path).read_text(encoding="ascii")))
    return found


def gpus() -> list[str]:
    """The GPUs that this process may use, by the names that ``CUDA_VISIBLE_DEVICES`` takes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in {"", "-1"}]
    found = (len(list(Path(folder).glob(pattern))) for folder, pattern in DRIVERS)
    return [str(number) for number in range(next(filter(None, found), 0))]
