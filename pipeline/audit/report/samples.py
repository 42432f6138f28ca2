"""The sections of a report that show samples: concepts with their galleries, and groups of duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.pipeline.audit.reading.concepts import (
    SHOWN,
    Concept,
    Example,
    Gallery,
    concepts,
    galleries,
    mean_fits,
    named,
    similarity,
    spread,
    trained,
)
from tamis.pipeline.audit.reading.duplicates import (
    Case,
    GroupSizes,
    StepDuplicates,
    duplicates,
)
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.pictures import Album
from tamis.pipeline.audit.reading.words import number, share
from tamis.pipeline.audit.report import charts
from tamis.pipeline.audit.report.html import caption, element, table, text
from tamis.pipeline.steps.shared.audit import Row

if TYPE_CHECKING:
    import duckdb

GALLERIES = 100
"""Concepts whose samples are shown, at most."""
LEAST = 5
"""Concepts that are named because their captions fit least."""
EXAMPLES = 3
"""Samples shown at either end of a concept."""


def concepts_section(run: FinishedRun, connection: duckdb.DuckDBPyConnection, album: Album) -> str:
    """Plots, a table and a gallery of the concepts; "" for a job without concepts."""
    clusters = concepts(run, connection)
    if not clusters:
        return ""
    sized = [concept for concept in clusters if concept.size] or clusters
    chosen = named(run, connection, spread(sized, GALLERIES))
    shown = galleries(run, connection, chosen, EXAMPLES)
    album.fetch(
        example.sid
        for gallery in shown.values()
        for example in (*gallery.nearest, *gallery.farthest)
    )
    cards = "".join(_card(concept, shown[concept.cluster], album) for concept in chosen)
    some = f", {len(chosen):,} of them shown here" if len(chosen) < len(clusters) else ""
    summary = f"{len(clusters):,} concepts{some}; of each, what lies nearest to and farthest from its centroid."
    legend = (
        '<p class="key"><span><i class="kept"></i>kept</span>'
        '<span><i class="dropped"></i>dropped</span></p>'
    )
    made = trained(run)
    return (
        element("p", summary, class_="soft")
        + _fits(run, connection, clusters)
        + (element("p", text(made), class_="soft") if made else "")
        + _plots(named(run, connection, spread(clusters, SHOWN)))
        + element("h3", "Table")
        + _table(chosen)
        + element("h3", "Gallery")
        + legend
        + element("div", cards, class_="concepts")
    )


def _fits(run: FinishedRun, connection: duckdb.DuckDBPyConnection, clusters: list[Concept]) -> str:
    """Mean similarity of captions to what was kept and to what was dropped; the least fitting concepts by name."""
    kept, others = mean_fits(clusters)
    if kept is None or others is None:
        return ""
    words = f"Mean {similarity(run)}: {kept:.3f} of what is kept, {others:.3f} of the others that reached the step."
    step = run.settings_of(run.placing[-1])
    if kept < others and step is not None and not step.by_lot:  # lots differ by chance
        words += " So captions fit worse what was kept: a filter by similarity before it, or which: random, mends that."
    known = sorted((c.fit, c.cluster, c) for c in clusters if c.fit is not None)
    least = named(run, connection, [concept for *_, concept in known[:LEAST]])
    told = "; ".join(f"{c.cluster}, {c.name or 'without a name'} ({c.fit:.3f})" for c in least)
    words += f" The concepts whose captions fit least: {told}."
    return element("p", text(words), class_="soft")


def _plots(drawn: list[Concept]) -> str:
    figures = []
    if all(concept.complexity is not None for concept in drawn):
        rates = [
            charts.Point(c.complexity or 0.0, c.share, f"{c.called}: kept {share(c.kept, c.size)}")
            for c in drawn
            if c.size
        ]
        figures.append(("Complexity and keep rate", rates, ("complexity", "share kept", True)))
    if any(concept.quota is not None for concept in drawn):
        quotas = [
            charts.Point(c.size, c.quota or 0, f"{c.called}: quota {c.quota} of {c.size}")
            for c in drawn
        ]
        figures.append(("Size and quota", quotas, ("size", "quota", False)))
    plots = "".join(
        element("figure", element("figcaption", element("b", title)) + charts.scatter(dots, *axes))
        for title, dots, axes in figures
        if dots
    )
    return element("div", plots, class_="charts two") if plots else ""


def _table(chosen: list[Concept]) -> str:
    columns = [("concept", "left"), ("assigned", "right"), ("size", "right"), ("d_intra", "right")]
    columns += [("d_inter", "right"), ("complexity", "right"), ("quota", "right")]
    columns += [("kept", "right"), ("share", "right"), ("", "wide")]
    fits = any(c.fit_kept is not None or c.fit_dropped is not None for c in chosen)
    if fits:
        columns += [("similarity, kept", "right"), ("dropped", "right")]
    rows = [
        [
            element("a", f"{c.cluster}", href=f"#concept-{c.cluster}") + text(f" {c.name or ''}"),
            *(number(v) for v in (c.samples, c.size, c.d_intra, c.d_inter, c.complexity)),
            *(number(v) for v in (c.quota, c.kept)),
            share(c.kept, c.size),
            charts.bar([("kept", c.kept), ("dropped", c.size - c.kept)], c.size),
            *((number(v) for v in (c.fit_kept, c.fit_dropped)) if fits else ()),
        ]
        for c in chosen
    ]
    return table(columns, rows, "Concepts")


def _card(concept: Concept, gallery: Gallery, album: Album) -> str:
    facts: list[tuple[str, float | None]]
    facts = [("size", concept.size), ("quota", concept.quota), ("kept", concept.kept)]
    facts += [("d_intra", concept.d_intra), ("d_inter", concept.d_inter)]
    facts.append(("complexity", concept.complexity))
    terms = "".join(
        element("div", element("dt", name) + element("dd", number(value)))
        for name, value in facts
        if value is not None
    )
    ends = "".join(
        element(
            "div",
            element("h4", title)
            + element("div", "".join(_example(e, album) for e in examples), class_="strip"),
        )
        for title, examples in (
            ("nearest to the centroid", gallery.nearest),
            ("farthest", gallery.farthest),
        )
    )
    inner = element("h3", text(concept.called.capitalize())) + element("dl", terms)
    inner += element("div", ends, class_="ends")
    return element("article", inner, class_="concept", id=f"concept-{concept.cluster}")


def _example(example: Example, album: Album) -> str:
    fate = "was-kept" if example.kept else "was-dropped"
    words = "kept" if example.kept else "dropped"
    title = f"{words}, distance {number(example.distance)}, uid {example.uid}"
    shown = _frame(album, example.sid) + caption(example.text)
    return element("div", shown, class_=f"sample {fate}", title=title)


def _frame(album: Album, sid: int | None) -> str:
    uri = None if sid is None else album.uri(sid)
    inner = f'<img src="{uri}" alt="" loading="lazy">' if uri else "no picture"
    return element("div", inner, class_="frame")


def duplicates_section(
    run: FinishedRun, connection: duckdb.DuckDBPyConnection, album: Album
) -> str:
    """The largest groups of each step that found duplicates, and its pairs nearest to the bound."""
    by_step = duplicates(run, connection)
    cases = [case for step in by_step for case in (*step.largest, *step.borderline)]
    album.fetch(
        row["sid"] for case in cases for row in (case.dropped, case.partner, case.survivor) if row
    )
    return "".join(_step(step, album) for step in by_step)


def _step(step: StepDuplicates, album: Album) -> str:
    summary = f"{step.dropped:,} duplicates in {step.groups:,} groups."
    shown = element("h3", text(step.step)) + element("p", summary, class_="soft")
    shown += _sizes(step)
    for title, cases in (
        ("The largest groups", step.largest),
        ("Nearest to the bound", step.borderline),
    ):
        if cases:
            inner = "".join(_case(case, album) for case in cases)
            shown += element("h4", title) + element("div", inner, class_="cases")
    return shown


def _sizes(step: StepDuplicates) -> str:
    """The groups by their size, with their spread."""
    columns = [("samples of a group", "left"), ("groups", "right"), ("dropped", "right")]
    if step.measure:
        columns += [(f"{step.measure}, weakest of a group: median", "right"), ("of all", "right")]
    rows = [
        [_span(sizes), number(sizes.groups), number(sizes.dropped)]
        + [number(value) for value in (sizes.median, sizes.weakest) if step.measure]
        for sizes in step.sizes
    ]
    return table(columns, rows, f"{step.step}: groups by size")


def _span(sizes: GroupSizes) -> str:
    return f"{sizes.least:,} to {sizes.most:,}"


def _case(case: Case, album: Album) -> str:
    score = ""
    if case.score and case.dropped["partner_value"] is not None:
        score = f", {case.score} {number(case.dropped['partner_value'])}"
        if case.dropped["bound"] is not None:
            score += f" (bound {number(case.dropped['bound'])})"
    same = case.partner is not None and case.partner == case.survivor
    roles: list[tuple[str, Row | None]] = [("dropped", case.dropped)]
    if same:
        roles.append(("partner and survivor", case.survivor))
    else:
        roles += [("partner", case.partner), ("survivor", case.survivor)]
    trio = "".join(_role(role, row, album) for role, row in roles)
    head = element("p", f"one of a group of {case.group:,}{text(score)}")
    return element("div", head + element("div", trio, class_="trio"), class_="case")


def _role(role: str, row: Row | None, album: Album) -> str:
    who = element("span", text(role), class_="who")
    if row is None:
        return element("div", who + _frame(album, None), class_="sample")
    fate = "was-kept" if row["kept"] else "was-dropped"
    shown = who + _frame(album, row["sid"]) + caption(row["text"])
    if role != "dropped" and not row["kept"]:
        # Below the picture, so that the pictures of a trio stand in one line.
        shown += element("div", text(f"later dropped by {row['step']}"), class_="soft")
    title = f"{row['key']} in {row['source']}, uid {row['uid']}"
    return element("div", shown, class_=f"sample {fate}", title=title)
