"""Searches by meaning for the browser page: by words, and for more like a sample. One at a time: a model is large."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.search import encoded
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
        """The searches that can be made: ``like`` a sample; by ``words`` and a ``picture``, which take the encoder."""
        embedding = self._embedding
        reads = embedding is not None and not embedding.config.takes_embeddings
        return {
            "like": embedding is not None,
            "words": embedding is not None and reads and embedding.has_text,
            "picture": embedding is not None and reads,
        }

    def nearest(
        self,
        asked: Mapping[str, str],
        among: Among,
        where: str | None,
        values: Mapping[str, Any],
        picture: bytes | None = None,
    ) -> Found:
        """The pictures nearest to a ``picture``'s bytes, to ``words``, or to that of the sample whose sid is ``like``.

        Raises:
            JobError: nothing is embedded here, or there is no query.
            InputError: no such sample, it has no vector, or the bytes are no picture.
        """
        embedding, words = self._embedding, asked.get("words", "")
        if embedding is None:
            raise JobError("this run has no embeddings to search")
        with self._one_at_a_time:
            if picture is not None:
                query = encoded.of_picture(embedding, picture, "the picture")
            elif words:
                query = encoded.of_text(embedding, words)
            else:
                sid = asked.get("like", "")
                if not (sid.isdecimal() and len(sid) < 20 and self._run.has(int(sid))):
                    raise InputError(f"`{sid[:40]}` is the address of no sample")
                query = queries.of_row(embedding, self._run.rows([int(sid)])[0], "image")
            of_text = bool(words) and picture is None
            limits = Asked(SHOWN, None, "image", among, where, None, of_text, values)
            return Search(embedding, limits).find(query)
