"""Searches for the Python interface: what is sought, the answer as a table, and the answer as a run of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.search.query import Sought, made
from tamis.pipeline.audit.search.search import COLUMNS, Asked, Search
from tamis.pipeline.audit.search.stored import Embedding

if TYPE_CHECKING:
    import pandas as pd


def sought(
    text: str | None,
    image: str | Path | bytes | None,
    uid: str | None,
    vector: Any,
    encoder: str | None,
    like_run: str | Path | None,
) -> Sought:
    """The query, of values as a person's code has them."""
    import numpy as np

    picture = str(image) if isinstance(image, Path) else image
    given = vector if vector is None or isinstance(vector, str) else np.asarray(vector)
    return Sought(text, picture, uid, given, encoder, None if like_run is None else str(like_run))


def table(run: FinishedRun, embedding: str | None, query: Sought, asked: Asked) -> pd.DataFrame:
    """The answer, a row a sample; ``attrs`` as ``Run.search`` says.

    Raises:
        TamisError: the run has no embeddings, or the query cannot be encoded.
    """
    import pandas as pd

    searched = Embedding(run, embedding)
    search = Search(searched, _of(query, asked))
    found = search.find(made(searched, query, asked.side))
    answer = pd.DataFrame(found.rows, columns=["cosine", *COLUMNS])
    answer.attrs = {"searched": found.searched, "of": found.of, "above": found.above}
    return answer


def _of(query: Sought, asked: Asked) -> Asked:
    """The conditions, with what they have to know of the query."""
    by_run = query.like_run is not None
    return replace(asked, of_text=query.text is not None, of_run=by_run)


def write(
    run: FinishedRun, embedding: str | None, query: Sought, asked: Asked, output: str
) -> None:
    """Write what is found as a run of its own.

    Raises:
        TamisError: as ``table``; or what a set cannot be made by, or ``output`` holds another run.
    """
    from tamis.pipeline.audit.search import subset
    from tamis.pipeline.planning.where import is_small
    from tamis.pipeline.runs import walk

    query.check()
    subset.check(asked)
    searched = Embedding(run, embedding)
    asked = _of(query, asked)
    Search(searched, asked)  # what cannot be searched is refused before anything is written
    plan = subset.planned(searched, query, made(searched, query, asked.side), asked, output)
    walk.run(plan, base=run.root, local=is_small(plan.job, run.manifest.rows_in))
