"""autofaiss's side of a test of exports, run by its own interpreter: an index of a folder of vectors, and its answers.

python _peer_autofaiss.py OUT/img_emb QUERIES.npy ANSWER.npy --nearest 10
"""

from __future__ import annotations

import argparse

import numpy as np
from autofaiss import build_index


def main() -> None:
    """Save the rows of the nearest vectors to each query, int64 (queries, nearest)."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("vectors")
    options.add_argument("queries")
    options.add_argument("answer")
    options.add_argument("--nearest", type=int, required=True)
    asked = options.parse_args()
    index, _ = build_index(
        asked.vectors,
        save_on_disk=False,
        metric_type="ip",
        max_index_memory_usage="100MB",
        current_memory_available="1GB",
        nb_cores=1,
    )
    np.save(asked.answer, index.search(np.load(asked.queries), asked.nearest)[1])


if __name__ == "__main__":
    main()
