"""``tamis search``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.jobs.terminal.pages import check_page, write_page
from tamis.jobs.terminal.patience import told_after, weights_of
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.audit.search.making import made
from tamis.pipeline.audit.search.query import Query, Sought
from tamis.pipeline.audit.search.search import Asked, Extent, Found, Search
from tamis.pipeline.audit.search.stored import SIDES, Embedding
from tamis.schemas.errors import JobError

if TYPE_CHECKING:
    from tamis.pipeline.audit.search.like_run import Several

CAPTION = 60
"""Most characters of a caption in a table."""

UNMEASURED = "recall: not measured: `index` measures it"

LARGE = 1 << 28
"""Bytes of vectors from which a line says beforehand how many are read."""


def search_run(
    path: str, embedding: str | None, sought: Sought, asked: Asked, *, json: bool, html: str | None
) -> None:
    """Show the samples of a run that are nearest to a text, a picture, a sample or a vector.

    Raises:
        JobError: no query, or several; options that do not go together.
        TamisError: no finished run, no embeddings, or a query that cannot be encoded.
    """
    if json and html is not None:
        raise JobError("--json and --html are two answers: ask for one at a time")
    sought.check()
    run = opened(path)
    if html is not None:
        check_page(html)
    searched = Embedding(run, embedding)
    search = Search(searched, asked)
    encodes = sought.text is not None or sought.image is not None
    with told_after(weights_of([searched.config]) if encodes else None):
        query = made(searched, sought, asked.side)
    _note_length(search, query, searched.dim)
    found = search.find(query)
    if json:
        display.echo(display.as_json(_to_json(run, query, asked, found)))
    elif html is not None:
        _write_page(run, query, asked, found, html)
    else:
        _show(query, asked, found)


def _note_length(search: Search, query: Query | Several, dim: int) -> None:
    """Say beforehand what a search reads that streams very many vectors, and for how long."""
    vectors = search.extent.vectors
    if not search.streams or 2 * vectors * dim < LARGE:
        return
    compared, seconds = search.pace(query)
    if compared:
        display.note(
            f"note: reading up to {display.count(vectors)} vectors, {display.size(2 * vectors * dim)}, in about "
            f"{display.duration(seconds * vectors / compared)}, as long as the first {display.count(compared)} take"
        )


def _to_json(
    run: FinishedRun, query: Query | Several, asked: Asked, found: Found
) -> dict[str, object]:
    return {
        "run": run.root,
        "query": query.what,
        "side": asked.side,
        "among": asked.among,
        "searched": found.searched,
        "of": found.of,
        "concepts": found.extent.clusters,
        "probed": found.extent.probed,
        **({} if found.extent.recall is None else {"recall": found.extent.recall._asdict()}),
        "above": found.above,
        **({} if found.copies is None else {"copies": found.copies}),
        "samples": found.rows,
    }


def _write_page(
    run: FinishedRun, query: Query | Several, asked: Asked, found: Found, path: str
) -> None:
    from tamis.pipeline.audit.search.page import search_page

    write_page(path, search_page(run, query.what, found, lines(asked, found)))


def _show(query: Query | Several, asked: Asked, found: Found) -> None:
    out = display.console()
    out.print(f"nearest to {display.plain(query.what)}:")
    columns = [("cosine", "right"), ("key", "left"), ("fate", "left"), ("caption", "left")]
    rows = [
        [
            f"{row['cosine']:.4f}",
            display.plain(row["key"], CAPTION),
            "kept" if row["kept"] else f"{row['step']}: {row['reason']}",
            display.plain(row["text"] or "", CAPTION),
            row["uid"],
        ]
        for row in found.rows
    ]
    display.print_table(out, display.table([*columns, ("uid", "left")], rows))
    for line in lines(asked, found):
        out.print(line)


def lines(asked: Asked, found: Found) -> list[str]:
    """A sentence about the samples found and the vectors searched."""
    said = []
    if found.above is not None:
        shown = found.above - (found.copies or 0)  # those that are no copies of what is shown
        some = f"; -n {shown} shows all" if shown > len(found.rows) else ""
        said.append(f"cosine {asked.above:g} or more: {counted(found.above, 'sample')}{some}")
    if found.copies is not None:
        said.append(f"left out: {counted(found.copies, 'sample')} as near copies of better ones")
    return [*said, _searched(found.extent, found, asked), *_recalled(found)]


def _recalled(found: Found) -> list[str]:
    """A line about the recall that the run has measured, or has not, of a search that leaves concepts out."""
    extent = found.extent
    if extent.recall is None:
        whole = extent.probed == extent.clusters or found.above is not None
        return [] if whole else [UNMEASURED]
    probes, share, queries = extent.recall
    where = f"{share:.3f} of the ten nearest lie in {counted(probes, 'concept')}"
    return [f"recall: {where}, as measured for {counted(queries, 'picture')} of the run"]


def _searched(extent: Extent, found: Found, asked: Asked) -> str:
    what = f"{display.count(found.searched)} of {display.count(found.of)} vectors of {SIDES[asked.side]}"
    if extent.clusters is None or extent.probed is None:
        return f"searched {what}"
    more = (
        ""
        if found.above is not None or extent.probed == extent.clusters
        else "; --probes searches more"
    )
    return f"searched {what}, in {display.count(extent.probed)} of {display.count(extent.clusters)} concepts{more}"
