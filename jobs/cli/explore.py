"""Arguments and help of the commands that look into a run by meaning; ``jobs/commands`` does their work."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tamis.jobs.cli.options import JSON, LOCAL, RUN
from tamis.schemas.errors import JobError

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def search(  # noqa: PLR0913, PLR0917 - one argument an option
    run: RUN,
    text: Annotated[str | None, typer.Option(help="Words; the run's encoder reads them.")] = None,
    image: Annotated[
        str | None, typer.Option(metavar="FILE", help="A picture, of any format that jobs read.")
    ] = None,
    uid: Annotated[str | None, typer.Option(help="A sample: more like this one.")] = None,
    vector: Annotated[
        str | None, typer.Option(metavar="FILE", help="One vector of the encoder, as .npy.")
    ] = None,
    like_run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="A finished run: samples like those that it kept."),
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="Most samples to show; 20 by default.")
    ] = None,
    above: Annotated[
        float | None,
        typer.Option(metavar="COSINE", help="Count all of this cosine or more, exactly."),
    ] = None,
    side: Annotated[
        Literal["image", "text"], typer.Option(help="Search vectors of pictures, or of captions.")
    ] = "image",
    among: Annotated[
        Literal["kept", "dropped", "all"], typer.Option(help="Which samples to search.")
    ] = "kept",
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="A condition on the ledger's columns: 'min_side >= 256'."),
    ] = None,
    dedup: Annotated[
        float | None,
        typer.Option(
            metavar="COSINE", help="Leave out what is nearer than this to a better one: .94."
        ),
    ] = None,
    probes: Annotated[
        int | None,
        typer.Option(min=1, help="Concepts to search; 16, for --text 32, by default."),
    ] = None,
    embedding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which embedding, where a job has several.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The model behind embeddings that came with the input."),
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page instead, with the pictures.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NEW",
            help="Write the -n nearest, or all --above, as a run of its own in this directory.",
        ),
    ] = None,
    local: LOCAL = None,
    json: JSON = False,
) -> None:
    """Find samples by meaning: those nearest to a text, a picture, another sample or a vector."""
    from tamis.pipeline.audit.search.query import Sought
    from tamis.pipeline.audit.search.search import Asked

    sought = Sought(text, image, uid, vector, encoder, like_run)
    asked = Asked(
        n,
        above,
        side,
        among,
        where,
        probes,
        of_text=text is not None,
        of_run=like_run is not None,
        dedup=dedup,
    )
    if output is not None:
        if html is not None:
            raise JobError("--as and --html are two answers: ask for one at a time")
        from tamis.jobs.commands.search_as import write_found

        write_found(run, embedding, sought, asked, output, local=local, json=json)
        return
    from tamis.jobs.commands.search import search_run

    search_run(run, embedding, sought, asked, json=json, html=html)


@commands.command()
def tag(
    run: RUN,
    output: Annotated[
        str, typer.Argument(metavar="LIST", help="The file to write: a uid a line; a new one.")
    ],
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="A condition on the ledger's columns: 'min_side >= 256'."),
    ] = None,
    among: Annotated[
        Literal["kept", "dropped", "all"], typer.Option(help="Which samples to list.")
    ] = "kept",
    json: JSON = False,
) -> None:
    """Write the uids of some samples as a list that a job reads: to leave them out, or all others."""
    from tamis.jobs.commands.tag import tag_samples

    tag_samples(run, output, among, where, json=json)


@commands.command()
def export(
    run: RUN,
    layout: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="LAYOUT",
            help="clip-retrieval, datacomp, faiss, huggingface, img2dataset, or csv.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", metavar="DIR", help="A new folder, or an empty one.")
    ],
    among: Annotated[
        Literal["kept", "all"],
        typer.Option(
            help="The kept samples, or all; of those with vectors where the layout has them."
        ),
    ] = "kept",
    embedding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which embedding, where a job has several.")
    ] = None,
    json: JSON = False,
) -> None:
    """Write a run's embeddings, metadata and indices in the layout that other programs read."""
    from tamis.jobs.commands.export import export_run

    export_run(run, layout, output, among, embedding, json)
