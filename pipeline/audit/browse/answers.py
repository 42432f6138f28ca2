"""Answers to the browser page: an overview of a run, the samples that meet a filter, and one sample's story.

Answers are plain values, made by DuckDB over the ledger. Their size does not grow with the ledger.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tamis.pipeline.audit.again.thresholds import Thresholds
from tamis.pipeline.audit.browse.concept_map import concept_map
from tamis.pipeline.audit.browse.meaning import Meaning
from tamis.pipeline.audit.browse.members import Members
from tamis.pipeline.audit.reading import distributions, sql
from tamis.pipeline.audit.reading.duplicates import group_sizes
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.funnel import funnel
from tamis.pipeline.audit.reading.pairs import fallen, remarks
from tamis.pipeline.audit.search.wanted import Among
from tamis.pipeline.audit.story.story import Story, pictured, stories, tell
from tamis.pipeline.store import finished
from tamis.pipeline.tables.columns import rounded
from tamis.schemas.errors import InputError
from tamis.schemas.ledger import meaning

if TYPE_CHECKING:
    import duckdb

PAGE = 24
"""Samples a page; below DuckDB's limit for reading the other columns of the chosen rows alone."""
SOURCES = 500
"""Input files in the list of choices, at most; the name of any other can be typed."""

Words = Callable[[Story], Story]
"""Function that adds a story's text: ``fate``, and the ``lines`` of each step."""

SHOWN = (
    "sid::VARCHAR AS sid, uid, key, source, text, kept, step, reason, rule, value, bound, "
    "cluster, rank, distance, partner_value"
)
QUERY = ("words", "like")
"""Fields of a search by meaning."""

ORDERING = ("after", "sort", "order")
"""Fields that choose no samples, but their order."""

UIDS = 10_000
"""Uids that are sent at once."""

EQUAL = ("step", "reason", "rule", "source")


class Browser:
    """A finished run as the browser page asks for it. Any number of threads may ask at once."""

    def __init__(self, run: FinishedRun, words: Words) -> None:
        self.run = run
        self._watched = finished.Watched(run.root)
        self._words = words
        self._asking: set[duckdb.DuckDBPyConnection] = set()
        self._connection = sql.connect(run, tables=False)
        self._connection.execute("SET parquet_metadata_cache = true")
        # The ledger is sorted by sid: so a page needs no sorting, and reading ends with its last row.
        self._connection.execute("SET preserve_insertion_order = true")
        self.signals = distributions.signals(self._connection)
        self.thresholds = Thresholds(run)
        self.meaning = Meaning(run)
        self.members = Members(run)
        self._placing = threading.Lock()
        self._concepts: dict[str, Any] | None = None

    def check(self) -> None:
        """Check that the run is still the one that was opened: what is known of it is kept for hours.

        Raises:
            StateError: it has been done again, or is at work.
        """
        self._watched.check()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one question, to the same views."""
        made = self._connection.cursor()
        self._asking.add(made)
        try:
            yield made
        finally:
            self._asking.discard(made)
            made.close()

    def interrupt(self) -> None:
        """Let all running queries fail: a process that ends while DuckDB is at work is aborted."""
        for asking in list(self._asking):
            asking.interrupt()

    @cached_property
    def overview(self) -> dict[str, Any]:
        """The run's name and account, and the values that a filter can choose from."""
        counted = funnel(self.run)
        meanings = {
            reason: meaning(reason, self.run.settings_of(step.step))
            for step in counted.steps
            for reason in step.dropped
        }
        return {
            "name": self.run.manifest.job["name"],
            **counted.to_json(),
            "reasons": [
                {"reason": reason, "meaning": meanings[reason]} for reason in sorted(meanings)
            ],
            "sources": self.run.files.first_sources(SOURCES),
            "clustered": bool(self.thresholds.placing),
            "signals": self._ranges(),
            "thresholds": self.thresholds.listed(),
            "meaning": self.meaning.offered,
        }

    def _ranges(self) -> list[dict[str, Any]]:
        names = [name for name, kind in self.signals.items() if distributions.is_numeric(kind)]
        names.append("distance")
        told = self.run.manifest.ranges
        if told is not None:
            ends = [(name, *told[name]) for name in names if name in told]
            return [{"name": name, "min": low, "max": high} for name, low, high in ends]
        asked = ", ".join(
            f"min({sql.identifier(name)}), max({sql.identifier(name)})" for name in names
        )
        with self.cursor() as cursor:
            (row,) = cursor.execute(f"SELECT {asked} FROM ledger").fetchall()
        pairs = zip(names, row[::2], row[1::2], strict=True)
        return [{"name": n, "min": low, "max": high} for n, low, high in pairs if low is not None]

    def samples(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """A page of the samples that meet a filter; ``counts`` is None unless all of them fit the page.

        ``asked``: ``kept`` (yes, no), ``step``, ``reason``, ``rule``, ``source``, ``cluster``, ``text``,
        ``min.SIGNAL``, ``max.SIGNAL``, ``flips``; ``after``: the last sid of the page before. The ledger is read only
        until the page is full, which takes far less time than counting all samples. With ``sort``, a signal, all of
        that column is read: rows are in its order, down with ``order``, those without a value last.

        Raises:
            InputError: a filter that this run does not have, or a value that is none.
        """
        where, values = self._where(asked)
        after = _whole("after", asked["after"]) if asked.get("after") else -1
        shown, behind, order = self._order(asked, after >= 0)
        with self.cursor() as cursor:
            page = cursor.execute(
                f"SELECT {shown} FROM ledger WHERE ({where}) AND ({behind}) {order} LIMIT {PAGE + 1}",
                {**values, "after": after},
            )
            names = [column[0] for column in page.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in page.fetchall()]
        counts = None
        if after < 0 and len(rows) <= PAGE:
            fates = Counter((row["step"], row["reason"]) for row in rows)
            counts = _counts([(*fate, n) for fate, n in fates.items()])
        return {"rows": rows[:PAGE], "more": len(rows) > PAGE, "counts": counts}

    def _order(self, asked: Mapping[str, str], turned: bool) -> tuple[str, str, str]:
        """The columns, the condition on rows behind the sid ``after``, and the order, of a page of samples."""
        signal = asked.get("sort", "")
        if not signal:
            return SHOWN, "ledger.sid > $after", ""
        if signal not in self.signals and signal != "distance":
            raise InputError(f"`{signal[:40]}` is no signal to sort by in this run")
        down = asked.get("order") == "down"
        value, sign = sql.identifier(signal), "<" if down else ">"
        last = f"(SELECT {value} FROM ledger WHERE sid = $after)"
        behind = "ledger.sid > $after"
        further = (
            f"({last} IS NOT NULL AND ({value} IS NULL OR {value} {sign} {last} OR {value} = {last} AND {behind}))"
            f" OR ({last} IS NULL AND {value} IS NULL AND {behind})"
        )
        order = f"ORDER BY {value} {'DESC' if down else 'ASC'} NULLS LAST, ledger.sid"
        # A parameter must be used, also where no page came before.
        return f"{SHOWN}, {value} AS sorted_by", further if turned else "$after < 0", order

    def uids(self, asked: Mapping[str, str]) -> Iterator[bytes]:
        """The uids of all samples that meet a filter, one a line, some at a time, in the order of the input.

        Raises:
            InputError: as ``samples``, before the first.
        """
        where, values = self._where(asked)
        return self._uids(f"SELECT uid FROM ledger WHERE {where}", values)

    def _uids(self, query: str, values: Mapping[str, Any]) -> Iterator[bytes]:
        with self.cursor() as cursor:
            found = cursor.execute(query, values)
            while rows := found.fetchmany(UIDS):
                yield "".join(f"{uid}\n" for (uid,) in rows).encode()

    def nearest(self, asked: Mapping[str, str], picture: bytes | None = None) -> dict[str, Any]:
        """The samples that meet a filter, the nearest first to a text, ``words``, to the sample of a sid, ``like``, or
        to a picture's bytes.

        Raises:
            InputError: as ``samples``; or the sample has no vector.
            JobError: nothing is embedded here, or there is no query.
        """
        fields = {name: value for name, value in asked.items() if name not in QUERY}
        where, values = self._where({n: v for n, v in fields.items() if n != "kept"})
        kept = fields.get("kept", "")
        among: Among = "all" if not kept else "kept" if kept == "yes" else "dropped"
        found = self.meaning.nearest(asked, among, where if values else None, values, picture)
        sids = [row["sid"] for row in found.rows]
        with self.cursor() as cursor:
            page = cursor.execute(
                f"SELECT {SHOWN} FROM ledger WHERE ledger.sid IN (SELECT unnest($sids))",
                {"sids": sids},
            )
            names = [column[0] for column in page.description or ()]
            rows = {row[0]: dict(zip(names, row, strict=True)) for row in page.fetchall()}
        shown = [{**rows[str(row["sid"])], "cosine": row["cosine"]} for row in found.rows]
        return {
            "rows": shown,
            "more": False,
            "searched": found.searched,
            "of": found.of,
            "probed": found.extent.probed,
            "concepts": found.extent.clusters,
        }

    def counts(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Numbers of the samples that meet a filter: all, kept, and by fate of the others.

        Raises:
            InputError: as ``samples``.
        """
        where, values = self._where(asked)
        query = f"SELECT step, reason, count(*) FROM ledger WHERE {where} GROUP BY step, reason"
        with self.cursor() as cursor:
            return _counts(cursor.execute(query, values).fetchall())

    def _where(self, asked: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
        terms = ["true"]
        values: dict[str, Any] = {}
        for name, value in asked.items():
            mark = f"v{len(values)}"
            side, _, signal = name.partition(".")
            if not value or name in ORDERING:
                continue
            if name == "flips":
                condition, bound = self._flips(value)
                terms.append(condition)
                values |= bound
                continue
            if name == "kept":
                terms.append("kept" if value == "yes" else "NOT kept")
                continue
            if name in EQUAL:
                terms.append(f"{name} = ${mark}")
                values[mark] = value
            elif name == "cluster":
                terms.append(f"cluster = ${mark}")
                values[mark] = _whole(name, value)
            elif name == "text":
                terms.append(f"contains(lower(text), ${mark})")
                values[mark] = value.lower()
            elif side in {"min", "max"} and (signal in self.signals or signal == "distance"):
                sign = ">=" if side == "min" else "<="
                terms.append(f"{sql.identifier(signal)} {sign} ${mark}")
                number, single = _number(name, value), self.signals.get(signal, "FLOAT") == "FLOAT"
                values[mark] = rounded(number) if single else number
            else:
                raise InputError(f"`{name}`: this run has no such filter")
        return " AND ".join(terms), values

    def _flips(self, value: str) -> tuple[str, dict[str, Any]]:
        """The condition of samples that a moved threshold flips: ``in~STEP~SIDE~VALUE~SIGNAL``, or ``out~...``."""
        way, *rest = value.split("~", 4)
        if way not in {"in", "out"} or len(rest) != 4:
            raise InputError(
                f"`flips` is `{value[:80]}`: in or out, a step, a side, a value, a signal"
            )
        step, side, number, signal = rest
        to = float(_number("flips", number))
        return self.thresholds.flipping("in" if way == "in" else "out", step, signal, side, to)

    def story(self, name: str) -> dict[str, Any]:
        """The stories of the samples that a uid, key or URL names.

        Raises:
            InputError: no sample has that name.
        """
        count, samples = stories(self.run, name, PAGE)
        if not count:
            raise InputError(f"no sample has the uid, key or URL `{name}`")
        return {"found": count, "samples": [self._shown(story) for story in samples]}

    def story_at(self, sid: int) -> dict[str, Any]:
        """The story of the one sample at an address, whose names other samples may have too.

        Raises:
            InputError: there is no such address.
        """
        if not self.run.has(sid):
            raise InputError(f"no sample has the address {sid}")
        return {"found": 1, "samples": [self._shown(tell(self.run, *self.run.rows([sid])))]}

    def _shown(self, story: Story) -> Story:
        """A story in words, with the samples shown beside it; sids are text, which JavaScript's numbers cannot hold."""
        beside = [{**other, "sid": str(other["sid"])} for other in pictured(self.run, story)]
        return {**self._words(story), "sid": str(story["sid"]), "pictures": beside}

    @cached_property
    def groups(self) -> list[dict[str, Any]]:
        """Each step that found duplicates, with its groups by size and what to look at."""
        with self.cursor() as cursor:
            notes = remarks(self.run, cursor)
            found = fallen(self.run, cursor)
            steps = [step for step in self.run.steps if step.name in found]
            return [
                {
                    "step": step.name,
                    "measure": step.likeness,
                    "notes": [line for line in notes if line.startswith(f"{step.name}: ")],
                    "sizes": [sizes._asdict() for sizes in group_sizes(cursor, step)],
                }
                for step in steps
            ]

    @property
    def concepts(self) -> dict[str, Any]:
        """The concepts on a plane, placed when they are first asked for; whoever asks meanwhile waits.

        Raises:
            InputError: as ``concept_map``.
        """
        with self._placing:
            if self._concepts is None:
                with self.cursor() as cursor:
                    self._concepts = concept_map(self.run, cursor)
            return self._concepts

    def histogram(self, signal: str) -> dict[str, Any]:
        """A signal's distribution, and the job's bounds on it.

        Raises:
            InputError: there is no such signal, or it is no number.
        """
        kind = (self.signals | {"distance": "FLOAT"}).get(signal, "")
        if not distributions.is_numeric(kind):
            raise InputError(f"`{signal}` is no signal of numbers in this run")
        limits = distributions.limits(self.run).get(signal, [])
        bounds = [limit.value for limit in limits]
        with self.cursor() as cursor:
            shown = distributions.histogram(cursor, signal, "INT" in kind, bounds)
        if shown is None:
            raise InputError(f"`{signal}` has no values")
        return {**shown._asdict(), "bounds": bounds}


def _counts(fates: Sequence[tuple[str | None, str | None, int]]) -> dict[str, Any]:
    """Counts of ``fates``: (step, reason, samples); of kept samples step and reason are None."""
    dropped = [(step, reason, n) for step, reason, n in fates if step is not None]
    dropped.sort(key=lambda fate: (-fate[2], fate[0], fate[1]))
    return {
        "found": sum(n for *_, n in fates),
        "kept": sum(n for step, _, n in fates if step is None),
        "fates": [{"step": step, "reason": reason, "samples": n} for step, reason, n in dropped],
    }


LARGEST = 2.0**63
"""Whole numbers from here on are none that a column can hold."""


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise InputError(f"`{name}` is `{value[:40]}`: a number is needed")
    return int(value) if value.lstrip("+-").isdecimal() and abs(number) < LARGEST else number


def _whole(name: str, value: str) -> int:
    number = _number(name, value)
    if not (abs(number) < LARGEST and float(number).is_integer()):
        raise InputError(f"`{name}` is `{value[:40]}`: a whole number is needed")
    return int(number)
