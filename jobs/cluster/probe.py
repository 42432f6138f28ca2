"""The probe that runs on a Ray cluster before a job is sent: versions, nodes, modules, and rights to read and write.

Its source travels in the command line, so it imports only the standard library, Ray and (for stores) fsspec. It
prints one line: MARK and a JSON object.
"""

import importlib.util
import json
import os
import platform
import sys
from typing import Any

MARK = "tamis-probe: "

PROBED = 4
"""Most nodes that are asked for the paths on this node's disks."""

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


def unshared(paths: list[str]) -> dict[str, str]:
    """Paths that exist on this node's disks but not on another node, and that node's name."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    local = [path for path in paths if "://" not in path and os.path.exists(path)]
    others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here][:PROBED]
    find_absent = ray.remote(num_cpus=0, max_retries=0)(absent)
    answers = {
        node["NodeManagerHostname"]: find_absent.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(local)
        for node in (others if local else ())
    }
    unshared_paths: dict[str, str] = {}
    for name, pending in answers.items():
        try:
            lacking = ray.get(pending, timeout=ANSWER_SECONDS)
        except Exception:  # noqa: BLE001, S112 - a node that is busy or leaves proves nothing
            continue
        unshared_paths |= dict.fromkeys(lacking, name)
    return unshared_paths


def absent(paths: list[str]) -> list[str]:
    """The paths that do not exist on this node."""
    return [path for path in paths if not os.path.exists(path)]


def access_error(path: str, write: bool) -> str | None:
    """The error of reading ``path`` (with ``write``: of making and removing a file in it), or None."""
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
    except Exception as error:  # noqa: BLE001 - each error is an answer
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None


def main(needs: dict[str, Any]) -> None:
    """Print the answer to ``needs``: ``modules`` to import, paths to ``read`` and to ``write``."""
    import ray

    answer = {
        "ray": ray.__version__,
        "python": platform.python_version(),
        "nodes": nodes(),
        "missing": [name for name in needs["modules"] if importlib.util.find_spec(name) is None],
        "unreadable": {path: access_error(path, False) for path in needs["read"]},
        "unwritable": {path: access_error(path, True) for path in needs["write"]},
    }
    answer["unshared"] = unshared([*needs["read"], *needs["write"]])
    sys.stdout.write(f"{MARK}{json.dumps(answer)}\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
