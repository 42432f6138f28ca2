"""The page of the showcase: the pool as it is, and with captions exchanged; and both as the figure of the docs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tamis.pipeline.audit.reading.verdict import (
    chance,
    compared,
    curve,
    training_told,
    verdict,
)
from tamis.pipeline.audit.report.charts import TALL, WIDTH
from tamis.pipeline.audit.report.evaluation import figures_table, keyed_chart
from tamis.pipeline.audit.report.html import STYLE, document, element, table, text
from tamis.schemas.evaluation import HEADLINE, METRICS, Evaluation

NOT_SHOWN = (
    "Icons are no photographs, and their captions are names.",
    "The student is a small network trained for minutes; a large one, trained long, may order the choices otherwise.",
    "The scorer was trained on icons of other sets: it knows what icons look like, as CLIP knows the web.",
    "Error bars and p are over pools and starts; the test sets are the same for all seeds.",
)

KEY_ROW, KEY_COLUMNS = 15, 2
"""Height of a line of the key in the figure of the docs, in units of its view box; and its columns."""

TITLE = 24
"""Height of a title there."""


def page(clean: Evaluation, noisy: Evaluation, long: Evaluation) -> bytes:
    """The whole page, UTF-8: no script, nothing from elsewhere."""
    sources = ", ".join(f"{name} ({count:,})" for name, count in clean.splits[0].sources.items())
    pools = [split.pool for split in clean.splits]
    lead = (
        f"Which choice trains a better model? Chosen from pools of {min(pools):,} to {max(pools):,} icons and "
        f"their names, {len(clean.splits)} seeds; trained: {clean.student}, as many steps of "
        f"{clean.training.batch} pairs for every choice. Measured on sets of which nothing is trained on: "
        f"{sources}. Bars: one standard deviation."
    )
    shown = "".join(
        element("section", element("h2", text(title)) + _section(evaluation))
        for title, evaluation in _figures(clean, noisy)
    )
    shown += element("section", element("h2", "A longer training") + _longer(long))
    limits = "".join(element("li", text(line)) for line in NOT_SHOWN)
    shown += element("section", element("h2", "What this does not show") + element("ul", limits))
    head = element("h1", "Does the selection pay?") + element("p", text(lead), class_="lead")
    body = element("header", head) + element("main", shown, id="main")
    return document("Does the selection pay?", body)


def _figures(clean: Evaluation, noisy: Evaluation) -> Iterator[tuple[str, Evaluation]]:
    """Both figures with their titles."""
    yield "The pool as it is", clean
    share = noisy.splits[0].exchanged / noisy.splits[0].pool
    yield f"The noisy pool: {100 * share:.0f}% of its captions exchanged", noisy


def _section(evaluation: Evaluation) -> str:
    chart, key = keyed_chart(evaluation)
    said = [training_told(evaluation), chance(evaluation)]
    drawn = element("figure", chart + element("figcaption", text(f"{'. '.join(said)}.")))
    return (
        key
        + element("div", drawn + _verdicts(evaluation), class_="charts two")
        + element("details", element("summary", "All figures") + figures_table(evaluation))
    )


def _verdicts(evaluation: Evaluation) -> str:
    said = [verdict(evaluation, name) for name in compared(evaluation)]
    return element("ul", "".join(element("li", text(line)) for line in said))


def _longer(evaluation: Evaluation) -> str:
    """A table of the headline metric after each length of training, and what is said after the last."""
    columns = [("selector", "left"), ("budget", "right")]
    columns += [(f"{steps:,} steps", "right") for steps in evaluation.lengths]
    rows = [[text(cell) for cell in row] for row in curve(evaluation)]
    told = element("p", text(f"{METRICS[HEADLINE]}; {training_told(evaluation)}."))
    return told + table(columns, rows, "A longer training") + _verdicts(evaluation)


def figure(clean: Evaluation, noisy: Evaluation) -> str:
    """Both figures as one SVG file, in the colours of the page, light or dark as the reader's screen is."""
    pieces, height = [], 0
    for title, evaluation in _figures(clean, noisy):
        chart, _ = keyed_chart(evaluation)
        pieces.append(f'<text class="title" x="4" y="{height + 16}">{text(title)}</text>')
        placed = f'<svg y="{height + TITLE}" width="{WIDTH}" height="{TALL}"'
        pieces.append(chart.replace("<svg", placed, 1))
        height += TITLE + TALL
    key, rows = _key(clean, height)
    height += rows * KEY_ROW + 6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH + 160}" '
        f'role="img"><title>Quality against budget</title><style>{_style()}</style>'
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>{"".join(pieces)}{key}</svg>\n'
    )


def _key(evaluation: Evaluation, top: int) -> tuple[str, int]:
    """The key below the charts, and its number of rows."""
    found = re.findall(r'<i class="hue ([^"]*)"></i>([^<]*)', keyed_chart(evaluation)[1])
    rows = -(-len(found) // KEY_COLUMNS)
    made = []
    for index, (style, name) in enumerate(found):
        column, row = divmod(index, rows)
        x, y = 10 + column * WIDTH // KEY_COLUMNS, top + row * KEY_ROW
        made.append(
            f'<rect class="{style}" x="{x}" y="{y}" width="9" height="9" fill="var(--hue)"/>'
            f'<text x="{x + 14}" y="{y + 8.5}">{name}</text>'
        )
    return "".join(made), rows


def _style() -> str:
    """The rules of the page's style sheet that concern charts, and its colours, which it begins with."""
    sheet = STYLE.read_text()
    colours = sheet.partition("* {")[0]
    rules = re.findall(r"^(?:svg|\.line|\.s0|\.random)[^\n]*\}$", sheet, re.MULTILINE)
    more = [
        ".ground { fill: var(--card); }",
        "svg text.title { fill: var(--ink); font-weight: 600; font-size: 12px; }",
    ]
    return "\n".join([colours, *rules, *more])
