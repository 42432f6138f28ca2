"""The query of what a person seeks.

Encoders, and what reads another run, are imported where they are needed: a search by a vector is answered sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.pipeline.audit.search.query import (
    Query,
    Sought,
    of_sample,
    of_vector,
    read_picture,
    read_vector,
)
from tamis.pipeline.audit.search.stored import Embedding, Side

if TYPE_CHECKING:
    from tamis.pipeline.audit.search.like_run import Several


def made(embedding: Embedding, sought: Sought, side: Side) -> Query | Several:
    """The query as a vector; ``side``: whether a sample's picture or caption is meant.

    Raises:
        TamisError: as the functions of ``query``, ``encoded`` and ``like_run``.
    """
    sought.check()
    if sought.uid is not None:
        return of_sample(embedding, sought.uid, side)
    if sought.vector is not None:
        name = sought.vector if isinstance(sought.vector, str) else "the vector"
        rows = read_vector(sought.vector) if isinstance(sought.vector, str) else sought.vector
        return of_vector(embedding, rows, name)
    if sought.like_run is not None:
        from tamis.pipeline.audit.search.like_run import of_run

        return of_run(embedding, sought.like_run, side)
    from tamis.pipeline.audit.search.encoded import of_picture, of_text

    if sought.text is not None:
        return of_text(embedding, sought.text, sought.encoder)
    assert sought.image is not None, "one thing is sought"
    name, data = "the picture", sought.image
    if isinstance(data, str):
        name, data = data, read_picture(data)
    return of_picture(embedding, data, name, sought.encoder)
