"""Runs on the cluster before anything is sent there: what it is, what it has, what it may read and write.

Its source travels in the command itself, so it needs the standard library, Ray and (for stores) fsspec, and no
more. Prints one line: MARK and a JSON object.
"""

import importlib.util
import json
import os
import platform
import sys
from typing import Any

MARK = "tamis-probe: "

ASKED = 4
"""Nodes that are asked whether they see what lies on a disk here."""

ANSWER_SECONDS = 60.0


def nodes() -> list[dict[str, float]]:
    """CPU, GPU and memory (bytes) of each node that is alive."""
    import ray

    ray.init(address="auto", log_to_driver=False, logging_level=40)
    names = ("CPU", "GPU", "memory")
    return [
        {name: float(node["Resources"].get(name, 0)) for name in names}
        for node in ray.nodes()
        if node["Alive"]
    ]


def elsewhere(paths: list[str]) -> dict[str, str]:
    """For each path on a disk that is there on this node: another node on which it is not. Few nodes are asked."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    local = [path for path in paths if "://" not in path and os.path.exists(path)]
    others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here][:ASKED]
    look = ray.remote(num_cpus=0, max_retries=0)(absent)
    waiting = {
        node["NodeManagerHostname"]: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(local)
        for node in (others if local else ())
    }
    found: dict[str, str] = {}
    for name, answer in waiting.items():
        try:
            lacking = ray.get(answer, timeout=ANSWER_SECONDS)
        except Exception:  # noqa: BLE001, S112 - a node that is busy, or leaves: not what was asked
            continue
        found |= dict.fromkeys(lacking, name)
    return found


def absent(paths: list[str]) -> list[str]:
    """Which of them are not there."""
    return [path for path in paths if not os.path.exists(path)]


def trouble(path: str, write: bool) -> str | None:
    """Why ``path`` cannot be read (or, with ``write``, no file be made and removed in it); None where it can."""
    try:
        import fsspec

        fs, inner = fsspec.core.url_to_fs(path)
        if write:
            if os.path.isabs(path):  # a store makes no directories, and might make a bucket instead
                fs.makedirs(inner, exist_ok=True)
            fs.pipe_file(inner.rstrip("/") + "/.tamis-probe", b"tamis")
            fs.rm_file(inner.rstrip("/") + "/.tamis-probe")
        else:
            fs.cat_file(inner, start=0, end=1)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the person has to know
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None


def main(wanted: dict[str, Any]) -> None:
    """``wanted``: ``modules`` to import, paths to ``read``, a path to ``write``."""
    import ray

    found = {
        "ray": ray.__version__,
        "python": platform.python_version(),
        "nodes": nodes(),
        "missing": [name for name in wanted["modules"] if importlib.util.find_spec(name) is None],
        "unreadable": {path: trouble(path, False) for path in wanted["read"]},
        "unwritable": {path: trouble(path, True) for path in wanted["write"]},
    }
    found["unshared"] = elsewhere([*wanted["read"], *wanted["write"]])
    sys.stdout.write(f"{MARK}{json.dumps(found)}\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
