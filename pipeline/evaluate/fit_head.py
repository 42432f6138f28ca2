"""A head fitted to tell a trusted set from a pool, with what can be said of it: a data filtering network of one's own.

Fang et al., "Data filtering networks" (ICLR 2024): any network that scores a pair filters data, and how clean its
training data are decides how well. Such a head learns whatever tells the two sets apart, and quality is only one such
thing: what else does, alone, is measured beside it on the same held-out pairs.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors.numpy import save

from tamis.pipeline.algorithms import distinctive
from tamis.pipeline.algorithms.separation import Auc, auc
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.evaluate import head_kinds
from tamis.pipeline.evaluate.pairs import Pairs, embedding_of
from tamis.pipeline.evaluate.trusted import Marked, Sets, read_sets
from tamis.pipeline.inputs.part_builder import hash_file
from tamis.pipeline.signals.heads import read_head
from tamis.pipeline.store import storage
from tamis.schemas.errors import JobError
from tamis.schemas.head_card import Area, Counts, Extreme, HeadCard, Kind, Made
from tamis.schemas.layout import MANIFEST

ENDING = ".safetensors"

MOST = 10_000
"""Pairs of each set, by default: 490 MB of numbers for a classifier over vectors of 512."""

END = 0.1
"""Share of the pool's held-out pairs that is shown at each end of the scores."""

CAPTIONS, SOURCES = 3, 3
"""Captions and sources that are shown of each end."""

CHANCE = 0.5
"""The AUC of what tells nothing."""

NEAR = 0.02
"""A plain measure whose AUC is within this of the head's may be all that the head has learned."""

SIMILARITY = "similarity of picture and caption"
"""The one plain measure that says something of quality."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Request:
    """A request for a head: the trusted set, the kind, and how much of each set is read."""

    marked: Marked
    kind: Kind
    by: str | None = None
    signals: tuple[str, ...] = ()
    most: int = MOST
    seed: int | None = None  # the pool's by default


@dataclass(frozen=True)
class FittedHead:
    """The bytes of a head's file, and its card."""

    data: bytes
    card: HeadCard


def fit_head(pool: FinishedRun, request: Request) -> FittedHead:
    """Fit a head, and measure it on pairs that are held out.

    Raises:
        TamisError: a run or an option does not fit.
    """
    seed = pool.seed if request.seed is None else request.seed
    sets = read_sets(pool, request.marked, request.signals, request.by, request.most, seed)
    if request.kind == "classifier":
        fitted = head_kinds.classifier(sets)
    elif request.kind == "mix":
        fitted = head_kinds.mix(sets, request.signals)
    else:
        fitted = head_kinds.pair(sets, seed)
    data = save(dict(fitted.arrays))
    scores = _scores(data, sets.pairs, mixed=request.kind == "mix")
    card = _card(pool, request, sets, scores, fitted.chosen, seed, hashlib.sha256(data).hexdigest())
    return FittedHead(data, card)


def _scores(data: bytes, pairs: Pairs, *, mixed: bool) -> Floats:
    """The values of a head's file, NaN where a signal is missing."""
    head = read_head(data, "fitted")
    if not mixed:
        return head.score(pairs.image, pairs.caption).astype(np.float64)
    scores = np.full(len(pairs), np.nan)
    there = np.isfinite(pairs.signals).all(axis=1)
    scores[there] = head.score(pairs.signals[there])
    return scores


def write(fitted: FittedHead, path: str) -> str:
    """Write the head and, beside it, its card; returns the card's path.

    Raises:
        JobError: the name does not end as such files do.
    """
    card = card_path(path)
    storage.write_bytes(storage.absolute(path), fitted.data)
    storage.write_bytes(card, fitted.card.model_dump_json(indent=1).encode() + b"\n")
    return card


def card_path(path: str) -> str:
    """The path of the card of a head at ``path``.

    Raises:
        JobError: the name does not end as such files do, or there is nothing before that.
    """
    if not path.endswith(ENDING):
        raise JobError(f"--as {path}: a fitted head is a safetensors file: let it end in {ENDING}")
    if posixpath.basename(path).startswith("."):
        raise JobError(f"--as {path}: the file's name is the signal's: write good{ENDING}, say")
    return f"{storage.absolute(path).removesuffix(ENDING)}.json"


def check_free(path: str) -> None:
    """Check that nothing but an earlier head and its card would be replaced.

    Raises:
        JobError: it would, or the name is none of such a file.
    """
    card = card_path(path)
    if storage.exists(card):
        try:
            HeadCard.model_validate_json(storage.read_bytes(card))
        except ValidationError:
            raise JobError(
                f"--as {storage.redact(path)}: {storage.redact(card)} would be its card, and is something else: name "
                "another file"
            ) from None
    elif storage.exists(storage.absolute(path)):
        raise JobError(
            f"--as {storage.redact(path)}: is there already, and no head that `fit` has made, for its card is "
            "missing: name another file, or remove that one"
        )


def _card(
    pool: FinishedRun,
    request: Request,
    sets: Sets,
    scores: Floats,
    chosen: float,
    seed: int,
    sha256: str,
) -> HeadCard:
    trusted = request.marked.run
    area = _area(sets, scores)
    assert area is not None, "enough of both kinds are held out"
    plain = {
        name: found
        for name, values in _plain_measures(sets.pairs)
        if (found := _area(sets, values)) is not None
    }
    beside = {name: _either_way(found) for name, found in plain.items()}
    turned = {name for name, found in plain.items() if found.value < CHANCE}
    by_source = _by_source(sets) if trusted is None else None
    if by_source is not None:
        beside["the source"] = by_source
    within = _within_sources(sets, scores) if trusted is None else None
    return HeadCard(
        kind=request.kind,
        sha256=sha256,
        encoder=embedding_of(pool).encoder,
        signals=request.signals,
        pool=_made(pool),
        trusted=None if trusted is None else _made(trusted),
        where=request.marked.where,
        seed=seed,
        counts=_counts(sets),
        chosen=chosen,
        auc=area,
        beside=beside,
        within_sources=within,
        most=_end(sets, scores, highest=True),
        least=_end(sets, scores, highest=False),
        warnings=tuple(_warnings(area, beside, turned, within, trusted)),
    )


def _made(run: FinishedRun) -> Made:
    digest = hash_file(storage.join(run.root, MANIFEST))[1].hex()
    return Made(job=run.manifest.job["name"], sha256=digest)


def _counts(sets: Sets) -> Counts:
    rest = ~sets.held
    return Counts(
        trusted=len(sets.rows(rest, True)),
        pool=len(sets.rows(rest, False)),
        trusted_held=len(sets.rows(sets.held, True)),
        pool_held=len(sets.rows(sets.held, False)),
        overlap=sets.overlap,
    )


def _area(sets: Sets, values: Floats) -> Area | None:
    """The AUC of values among the held-out pairs that have one; None where a set has none."""
    there = sets.held & ~np.isnan(values)
    both = [values[sets.rows(there, kind)] for kind in (True, False)]
    return _as_area(auc(*both)) if all(map(len, both)) else None


def _as_area(found: Auc) -> Area:
    return Area(**{name: round(value, 4) for name, value in found._asdict().items()})


def _either_way(area: Area) -> Area:
    """The AUC of the measure or of its opposite, whichever tells more."""
    if area.value >= CHANCE:
        return area
    return Area(value=1 - area.value, low=1 - area.high, high=1 - area.low)


def _plain_measures(pairs: Pairs) -> Iterator[tuple[str, Floats]]:
    """Measures that have nothing to do with what a head should learn, and the encoder's own similarity."""
    image, text = pairs.image.astype(np.float64), pairs.caption.astype(np.float64)
    if image.shape[1] == text.shape[1]:
        yield SIMILARITY, np.einsum("ij,ij->i", image, text)
    texts = ["" if text is None else str(text) for text in pairs.text.tolist()]
    yield "length of the caption", np.array([len(text) for text in texts], float)
    yield "words of the caption", np.array([len(text.split()) for text in texts], float)
    yield "smaller side of the picture", np.minimum(pairs.width, pairs.height)
    yield "shape of the picture", pairs.width / pairs.height


def _by_source(sets: Sets) -> Area | None:
    """The AUC of the source alone: of the share of trusted pairs among those of the source that were fitted on."""
    known: Counter[object] = Counter(sets.pairs.origin[~sets.held].tolist())
    good: Counter[object] = Counter(sets.pairs.origin[sets.rows(~sets.held, True)].tolist())
    shares = [good[one] / known[one] if known[one] else np.nan for one in sets.pairs.origin]
    return _area(sets, np.array(shares, float))


def _within_sources(sets: Sets, scores: Floats) -> float | None:
    """The mean AUC inside sources, each counting by its held-out pairs; None where no source has both kinds."""
    rows_of: dict[str, list[int]] = {}
    for row in np.flatnonzero(sets.held & ~np.isnan(scores)).tolist():
        rows_of.setdefault(str(sets.pairs.origin[row]), []).append(row)
    total, weight = 0.0, 0
    for _, rows in sorted(rows_of.items()):
        good = sets.trusted[rows]
        if good.any() and not good.all():
            total += auc(scores[rows][good], scores[rows][~good]).value * len(rows)
            weight += len(rows)
    return round(total / weight, 4) if weight else None


def _end(sets: Sets, scores: Floats, *, highest: bool) -> Extreme:
    """The pool's held-out pairs at one end of the scores."""
    pairs = sets.pairs
    rows = sets.rows(sets.held & ~np.isnan(scores), False)
    keys = -scores[rows] if highest else scores[rows]
    rows = rows[np.lexsort((pairs.uid[rows, 1], pairs.uid[rows, 0], keys))]
    chosen = rows[: max(1, round(END * len(rows)))]
    texts, every = _texts(pairs, chosen), _texts(pairs, rows)
    sources = Counter(str(one) for one in pairs.origin[chosen]).items()
    ranked = sorted(sources, key=_most_first)[:SOURCES]
    return Extreme(
        pairs=len(chosen),
        words=distinctive.name(texts, distinctive.frequencies(every), len(every)),
        sources={name: round(count / len(chosen), 4) for name, count in ranked},
        captions=tuple(texts[:CAPTIONS]),
    )


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _texts(pairs: Pairs, rows: npt.NDArray[np.int64]) -> list[str]:
    return [str(text) for text in pairs.text[rows] if text is not None]


def _warnings(
    area: Area,
    beside: Mapping[str, Area],
    turned: Set[str],
    within: float | None,
    trusted: FinishedRun | None,
) -> Iterator[str]:
    """Warnings for a person who is to trust the head; of ``turned`` measures the lowest values are trusted ones."""
    if area.high < CHANCE:
        yield (
            "it ranks the other way round: a pair of the pool scores higher than a trusted one more often than not, "
            "and the whole interval is below .5: what it keeps first is least like the trusted set"
        )
    elif area.low <= CHANCE:
        yield (
            "it does not tell the trusted set from the pool: its interval holds .5, as chance does"
        )
    for name, found in beside.items():
        if found.value < area.value - NEAR or found.low <= CHANCE:
            continue
        if name == SIMILARITY:
            by = "its lowest values" if name in turned else "it"
            yield f"{name} alone does as well ({found.value:.3f}): choose by {by}, and no head is needed"
        else:
            yield (
                f"{name} alone tells the two sets apart as well ({found.value:.3f}): the head may have learned that, "
                "and not quality; take a pool that is like the trusted set in it"
            )
    if trusted is not None:
        yield (
            "the two sets are different runs: whatever differs in how they were collected is learned too, and held-out "
            "pairs of the same two runs cannot show it"
        )
    elif within is None:
        yield "no source has pairs of both sets: to tell the sources apart is all that could be measured"
    elif within < area.value - 5 * NEAR:
        yield (
            f"inside sources its AUC is only {within:.3f}: much of what it has learned is which source a pair is from"
        )
