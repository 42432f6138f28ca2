"""Another epsilon over a finished run's stored cosines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tamis.pipeline.algorithms.clusters import semantic
from tamis.pipeline.steps.duplicates.semantic.config import SEMANTIC_DUPLICATE
from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates as Config
from tamis.pipeline.steps.shared.again import Again
from tamis.pipeline.tasks.chunks import Chunk


def decide(again: Again, config: Config) -> Iterator[Counter[str]]:
    """Counts of dropped samples by reason, of each chunk; the compared samples are those that reach the step."""

    def of_chunk(chunk: Chunk) -> Counter[str]:
        rows, similarity = again.signal(chunk, config.signal)
        gone = semantic.dropped(similarity.to_numpy(), config.epsilon)
        return again.drop(config.name, SEMANTIC_DUPLICATE, chunk.start + rows[gone])

    return again.each(of_chunk)
