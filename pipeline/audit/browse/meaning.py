"""Searches by meaning for the browser page: by words, and for more like a sample. One at a time: a model is large."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.search import query as queries
from tamis.pipeline.audit.search.search import Asked, Found, Search
from tamis.pipeline.audit.search.stored import Embedding
from tamis.pipeline.audit.search.wanted import Among
from tamis.schemas.errors import InputError, JobError, StateError

SHOWN = 48
"""Samples of an answer, at most."""


class Meaning:
    """The first embedding of a run, if it has any."""

    def __init__(self, run: FinishedRun) -> None:
        self._run = run
        self._one_at_a_time = threading.Lock()

    @cached_property
    def _embedding(self) -> Embedding | None:
        names = [step.makes_embedding for step in self._run.steps if step.makes_embedding]
        try:
            return Embedding(self._run, names[0]) if names else None
        except StateError:  # its tables have been cleared
            return None

    @property
    def offered(self) -> dict[str, bool]:
        """The searches that can be made: ``like`` a sample, and by ``words``, which takes an encoder of texts."""
        embedding = self._embedding
        reads = embedding is not None and not embedding.config.takes_embeddings
        return {
            "like": embedding is not None,
            "words": embedding is not None and reads and embedding.has_text,
        }

    def nearest(
        self,
        asked: Mapping[str, str],
        among: Among,
        where: str | None,
        values: Mapping[str, Any],
    ) -> Found:
        """The pictures nearest to ``words``, or to the picture of the sample whose sid is ``like``.

        Raises:
            JobError: nothing is embedded here, or there is no query.
            InputError: no such sample, or it has no vector.
        """
        embedding, words = self._embedding, asked.get("words", "")
        if embedding is None:
            raise JobError("this run has no embeddings to search")
        with self._one_at_a_time:
            if words:
                query = queries.of_text(embedding, words)
            else:
                sid = asked.get("like", "")
                if not (sid.isdecimal() and len(sid) < 20 and self._run.has(int(sid))):
                    raise InputError(f"`{sid[:40]}` is the address of no sample")
                query = queries.of_row(embedding, self._run.rows([int(sid)])[0], "image")
            limits = Asked(SHOWN, None, "image", among, where, None, bool(words), values)
            return Search(embedding, limits).find(query)
