"""autofaiss's side, run by its own interpreter: an index of a folder of vectors, as clip-retrieval has it made.

python _peer_autofaiss.py OUT/img_emb QUERIES.npy ANSWER.npy --nearest 10 [--memory 4G --spent SPENT.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from autofaiss import build_index


def held() -> float:
    """Megabytes that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def timed(index: Any, queries: Any, nearest: int) -> float:
    """The median milliseconds of processor time of one query."""
    spent = []
    for query in queries:
        busy = time.process_time()
        index.search(query[None], nearest)
        spent.append(time.process_time() - busy)
    return 1e3 * statistics.median(spent)


def main() -> None:
    """Save the rows of the nearest vectors to each query, int64 (queries, nearest)."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("vectors")
    options.add_argument("queries")
    options.add_argument("answer")
    options.add_argument("--nearest", type=int, required=True)
    options.add_argument("--memory", default="100MB")
    options.add_argument("--spent", type=Path)
    asked = options.parse_args()
    before, busy = held(), time.process_time()
    index, told = build_index(
        asked.vectors,
        save_on_disk=False,
        metric_type="ip",
        max_index_memory_usage=asked.memory,
        current_memory_available="1GB" if asked.memory == "100MB" else "16G",
        nb_cores=1,
    )
    built, memory = time.process_time() - busy, held() - before
    queries = np.load(asked.queries)
    np.save(asked.answer, index.search(queries, asked.nearest)[1])
    if asked.spent is not None:
        faiss.omp_set_num_threads(1)
        kind = str(told.get("index_key"))
        spent = {"index": kind, "build": built, "memory": memory}
        asked.spent.write_text(json.dumps({**spent, "ms": timed(index, queries, asked.nearest)}))


if __name__ == "__main__":
    main()
