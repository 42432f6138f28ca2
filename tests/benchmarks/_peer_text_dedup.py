"""text-dedup's side of ``peers_captions.py``, run by its own interpreter: its command for MinHash.

Its result is a Hugging Face data set; the uids are written as parquet after it, for the comparison.

python _peer_text_dedup.py IN OUT --words 3 --bands 14 --rows 8 --workers 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow.parquet as pq
from datasets import load_from_disk
from text_dedup import minhash


def main() -> None:
    """The command, its result as parquet of uids too."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("given", type=Path, help="folder of parquet: uid, text")
    options.add_argument("made", type=Path)
    options.add_argument("--words", type=int, required=True, help="the fewest that a text may have")
    options.add_argument("--bands", type=int, required=True)
    options.add_argument("--rows", type=int, required=True)
    options.add_argument("--workers", type=int, required=True)
    asked = options.parse_args()
    flags = {
        "path": "parquet",
        "data_files": asked.given / "*.parquet",
        "split": "train",
        "column": "text",
        "cache_dir": asked.made / "cache",
        "output": asked.made / "kept",
        "ngram": 1,
        "min_length": asked.words,
        "num_perm": asked.bands * asked.rows,
        "b": asked.bands,
        "r": asked.rows,
        "hash_func": "xxh3",
        "hash_bits": 32,
        "num_proc": asked.workers,
    }
    given = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    minhash.main(given, standalone_mode=False)
    kept = load_from_disk(str(asked.made / "kept"))
    pq.write_table(kept.select_columns(["uid"]).data.table, asked.made / "kept.parquet")


if __name__ == "__main__":
    main()
