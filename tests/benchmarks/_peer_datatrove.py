"""datatrove's side of ``peers_captions.py``, run by its own interpreter: the filter and the four stages of MinHash.

python _peer_datatrove.py IN OUT --words 3 --bands 14 --rows 8 --workers 2 [--whitespace]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
)
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.word_tokenizers import WordTokenizer


class Whitespace(WordTokenizer):  # type: ignore[misc]  # untyped where it is not installed
    """Words by white space alone, which is much quicker than the library's own for English."""

    def word_tokenize(self, text: str) -> list[str]:
        """The words."""
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        """One sentence."""
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """One span."""
        return [(0, len(text))]


def main() -> None:
    """All stages, one after another."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("given", type=Path, help="folder of parquet: uid, text")
    options.add_argument("made", type=Path)
    options.add_argument("--words", type=int, required=True, help="the fewest that a text may have")
    options.add_argument("--bands", type=int, required=True)
    options.add_argument("--rows", type=int, required=True)
    options.add_argument("--workers", type=int, required=True)
    options.add_argument("--whitespace", action="store_true")
    asked = options.parse_args()
    config = MinhashConfig(n_grams=1, num_buckets=asked.bands, hashes_per_bucket=asked.rows)
    folder, least = str(asked.made), asked.words
    language = Whitespace() if asked.whitespace else "eng"

    def read() -> list[object]:
        reader = ParquetReader(str(asked.given), text_key="text", id_key="uid", batch_size=10_000)
        return [reader, LambdaFilter(lambda doc: len(doc.text.split()) >= least)]

    def stage(name: str, steps: list[object], tasks: int) -> None:
        LocalPipelineExecutor(
            steps,
            tasks=tasks,
            workers=min(tasks, asked.workers),
            logging_dir=f"{folder}/logs/{name}",
        ).run()

    files = len(list(asked.given.glob("*.parquet")))
    signed, paired, doomed = (f"{folder}/{name}" for name in ("signatures", "pairs", "doomed"))
    signatures = MinhashDedupSignature(signed, config=config, language=language)
    stage("signatures", [*read(), signatures], files)
    stage("pairs", [MinhashDedupBuckets(signed, paired, config=config)], asked.bands)
    stage("clusters", [MinhashDedupCluster(paired, doomed, config=config)], 1)
    stage("kept", [*read(), MinhashDedupFilter(doomed), ParquetWriter(f"{folder}/kept")], files)


if __name__ == "__main__":
    main()
