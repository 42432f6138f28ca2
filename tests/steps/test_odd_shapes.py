"""`counts`: sizes and shapes that are odd against the pool, as brute force and cleanvision's definition find them."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.steps.counts import shapes
from tests.support.running import ledger, make_plan, run_here
from tests.support.tables import table

STEPS = """
  - counts: [odd_size, odd_aspect]
  - rules: {odd_size: {max: 3}, odd_aspect: {max: 3}}"""

DRAW = np.random.default_rng(0)
SIDES: list[tuple[int | None, int | None]] = [
    *zip(DRAW.integers(150, 500, 90).tolist(), DRAW.integers(150, 500, 90).tolist(), strict=True),
    (4000, 3000),
    (20, 20),
    (1200, 40),
    (40, 1200),
    (None, 300),
    (0, 300),
]


def run_over(folder: Path, cuts: list[int], part_samples: int) -> Path:
    """A run over the sides, in files that begin at ``cuts``."""
    (folder / "in").mkdir(parents=True)
    for number, (start, stop) in enumerate(zip(cuts, [*cuts[1:], len(SIDES)], strict=True)):
        width, height = zip(*SIDES[start:stop], strict=True)
        columns = {
            "uid": [f"{row:032x}" for row in range(start, stop)],
            "text": [f"caption {row}" for row in range(start, stop)],
            "width": pa.array(width, pa.int32()),
            "height": pa.array(height, pa.int32()),
        }
        pq.write_table(pa.table(columns), folder / f"in/{number}.parquet")
    path, rows = f"{folder}/in/*.parquet", 2 * part_samples
    plan = make_plan(folder / "run", path, STEPS, part_samples=part_samples, range_samples=rows)
    run_here(plan)
    return folder / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In several files, parts and ranges, whose counts are added up in several turns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "HELD_ROWS", 7)
        return run_over(tmp_path_factory.mktemp("odd"), [0, 31, 64], 10)


def stepped(value: float) -> float:
    step = 2.0 ** (math.floor(math.log2(value)) - 10)
    return math.floor(value / step) * step


def expected(values: list[float], least: float | None) -> list[float]:
    """Oddness by a sorted list; ``least``: the range's least, None for a hundredth of the lower quartile."""
    ordered = sorted(values)
    low, high = (ordered[math.ceil(q * len(values) / 4) - 1] for q in (1, 3))
    spread = max(high - low, low / 100 if least is None else least)
    return [max(low - value, value - high, 0.0) / spread for value in values]


def test_oddness_is_that_of_brute_force(run: Path) -> None:
    rows = {int(row["uid"], 16): row for row in ledger(run)}
    known = [n for n, (w, h) in enumerate(SIDES) if w and h]
    sides = [(w, h) for w, h in SIDES if w and h]
    sizes = [stepped(math.sqrt(w * h)) for w, h in sides]
    ratios = [math.log(stepped(w / h)) for w, h in sides]
    assert [rows[n]["odd_size"] for n in known] == pytest.approx(expected(sizes, None))
    assert [rows[n]["odd_aspect"] for n in known] == pytest.approx(expected(ratios, 0.01))
    for n in set(rows) - set(known):
        assert rows[n]["odd_size"] is rows[n]["odd_aspect"] is None


def test_what_cleanvision_calls_odd_is_beyond_three(run: Path) -> None:
    rows = {int(row["uid"], 16): row for row in ledger(run)}
    known = [(n, math.sqrt(w * h)) for n, (w, h) in enumerate(SIDES) if w and h]
    low, high = np.percentile([size for _, size in known], [25, 75])
    middle, gap = (low + high) / 2, 7 * (high - low)
    odd = {n for n, size in known if 1 - abs(size - middle) / gap < 0.5}
    assert {n for n, _ in known if rows[n]["odd_size"] > 3} == odd == {90}


def test_outliers_fall_and_another_bound_is_answered(run: Path) -> None:
    rows = {int(row["uid"], 16): row for row in ledger(run)}
    assert rows[90]["rule"] == "odd_size"
    assert (rows[90]["value"], rows[90]["bound"]) == (rows[90]["odd_size"], 3)
    assert rows[92]["rule"] == rows[93]["rule"] == "odd_aspect"
    assert all(rows[n]["kept"] for n in range(90))
    change = whatif(open_run(str(run)), ["rules.odd_size.max=1000"])
    assert (change.came, change.went) == (1, 0)


def test_the_cut_of_the_data_changes_nothing(run: Path, tmp_path: Path) -> None:
    other = run_over(tmp_path, [0], 1000)
    names = ["uid", "odd_size", "odd_aspect"]
    found = [sorted(tuple(row[name] for name in names) for row in ledger(r)) for r in (run, other)]
    assert found[0] == found[1]


def test_the_quartiles_are_a_table(run: Path) -> None:
    rows = table(run, "counts", "usual").to_pylist()
    assert [row["name"] for row in rows] == ["odd_size", "odd_aspect"]
    assert all(row["low"] < row["high"] for row in rows)
