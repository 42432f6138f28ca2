"""Runs on the cluster before anything is sent there: what it is, what it has, what it may read and write.

Its source travels in the command itself, so it needs the standard library, Ray and (for stores) fsspec, and no
more. Prints one line: MARK and a JSON object.
"""

import importlib.util
import json
import platform
import sys
from typing import Any

MARK = "tamis-probe: "


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


def trouble(path: str, write: bool) -> str | None:
    """Why ``path`` cannot be read (or, with ``write``, no file be made and removed in it); None where it can."""
    try:
        import fsspec

        fs, inner = fsspec.core.url_to_fs(path)
        if write:
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
    sys.stdout.write(f"{MARK}{json.dumps(found)}\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
