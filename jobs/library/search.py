"""Searches for the Python interface: what is asked for, the answer as a table, and the answer as a run of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.search.making import made
from tamis.pipeline.audit.search.query import Sought
from tamis.pipeline.audit.search.search import COLUMNS, Asked, Search
from tamis.pipeline.audit.search.stored import Embedding, Side
from tamis.pipeline.audit.search.wanted import Among

if TYPE_CHECKING:
    import pandas as pd


class SearchOptions(TypedDict, total=False):
    """Options of ``Run.search`` and ``Run.search_as``, beside a text; each has the default of `tamis search`."""

    image: str | Path | bytes | None
    """Look for a picture: its path, or its bytes."""
    uid: str | None
    """Look for a sample, which is not in the answer itself."""
    vector: Any
    """Look for an array of one vector, or the path of one as .npy."""
    like_run: str | Path | None
    """Look for what a finished run kept."""
    encoder: str | None
    """The model behind embeddings that came with the input."""
    embedding: str | None
    """Which embedding, where the job has several."""
    n: int | None
    """Rows of the answer, at most; 20 by default."""
    above: float | None
    """Count all samples of this cosine or more."""
    side: Side
    """Whether vectors of pictures or of captions are searched."""
    among: Among
    """The kept samples, the dropped, or all."""
    where: str | None
    """A condition on the ledger's columns, in DuckDB's SQL."""
    dedup: float | None
    """A cosine: what is nearer than that to a better sample is left out."""
    probes: int | None
    """Concepts that are searched."""


CONDITIONS = {"n": "count"} | {
    name: name for name in ("above", "side", "among", "where", "dedup", "probes")
}
"""Those that are no query, as ``Asked`` calls them."""


@dataclass(frozen=True)
class Request:
    """A search."""

    sought: Sought
    asked: Asked
    embedding: str | None


def request(text: str | None, options: SearchOptions) -> Request:
    """A search, of values as a person's code has them.

    Raises:
        TypeError: no option has such a name.
    """
    import numpy as np

    given: dict[str, Any] = dict(options)
    unknown = sorted(given.keys() - SearchOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(SearchOptions.__annotations__)
        raise TypeError(f"no option `{unknown[0]}` of a search: there are text, {known}")
    embedding = given.pop("embedding", None)
    asked = {CONDITIONS[name]: given.pop(name) for name in [*given] if name in CONDITIONS}
    vector = given.pop("vector", None)
    if vector is not None and not isinstance(vector, str):
        vector = np.asarray(vector)
    sought = {
        name: str(value) if isinstance(value, Path) else value for name, value in given.items()
    }
    by_run = sought.get("like_run") is not None
    return Request(
        Sought(text, vector=vector, **sought),
        Asked(of_text=text is not None, of_run=by_run, **asked),
        embedding,
    )


def table(run: FinishedRun, wanted: Request) -> pd.DataFrame:
    """The answer, a row a sample; ``attrs`` as ``Run.search`` says.

    Raises:
        TamisError: the run has no embeddings, or the query cannot be encoded.
    """
    import pandas as pd

    searched = Embedding(run, wanted.embedding)
    search = Search(searched, wanted.asked)
    found = search.find(made(searched, wanted.sought, wanted.asked.side))
    answer = pd.DataFrame(found.rows, columns=["cosine", *COLUMNS])
    answer.attrs = {"searched": found.searched, "of": found.of, "above": found.above}
    return answer


def write(run: FinishedRun, wanted: Request, output: str) -> None:
    """Write what is found as a run of its own.

    Raises:
        TamisError: as ``table``; or what a set cannot be made by, or ``output`` holds another run.
    """
    from tamis.pipeline.audit.search import subset
    from tamis.pipeline.planning.where import is_small
    from tamis.pipeline.runs import walk

    sought, asked = wanted.sought, wanted.asked
    sought.check()
    subset.check(asked)
    searched = Embedding(run, wanted.embedding)
    Search(searched, asked)  # what cannot be searched is refused before anything is written
    plan = subset.planned(searched, sought, made(searched, sought, asked.side), asked, output)
    walk.run(plan, base=run.root, local=is_small(plan.job, run.manifest.rows_in))
