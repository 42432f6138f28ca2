"""The measures of `target` that look at how its samples are distributed, or at what heads learn from them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.pipeline.algorithms.choosing.frechet import Moments
from tamis.pipeline.algorithms.choosing.frechet import Target as Search
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import tell
from tamis.pipeline.steps.selectors.target.config import OFF_TARGET
from tamis.pipeline.steps.selectors.target.config import Target as Config
from tamis.schemas import yaml12
from tamis.schemas.errors import TamisError
from tests.support.embedded import Samples, blobs, by_uid, run_steps, unit, write_input
from tests.support.synthetic import meanings


def saved(path: Path, rows: Any) -> Path:
    np.save(path, np.asarray(rows, np.float32))
    return path


class Searched:
    """A pool of five concepts, of which a target has the first and the third."""

    def __init__(self, folder: Path) -> None:
        self.made = blobs((60, 40, 50, 30, 20), (0.8, 0.3, 0.5, 0.6, 0.9), dim=8, seed=3)
        self.entry = write_input(folder / "in", self.made, 3)
        rows = unit(self.made.vectors.astype(np.float16).astype(np.float32))
        centres = unit(np.random.default_rng(3).standard_normal((5, 8)))
        self.concept = (rows @ centres.T).argmax(axis=1)
        self.rows = rows.astype(np.float64)
        draw = np.random.default_rng(9)
        of = np.flatnonzero(np.isin(self.concept, [0, 2]))
        self.target = unit(rows[of] + 0.05 * draw.standard_normal((len(of), 8)))
        self.paths = f"path: {saved(folder / 't.npy', self.target)}, centroids: {saved(folder / 'c.npy', centres)}"

    def by_brute_force(self) -> Any:
        """The search over the vectors themselves: with all dimensions, a projection is a rotation."""
        made = [Moments.of(self.rows[self.concept == number]) for number in range(5)]
        return Search(Moments.of(self.target.astype(np.float64))).search(
            np.array([one.size for one in made]),
            np.stack([one.total for one in made]),
            np.stack([one.outer for one in made]),
        )


def test_the_concepts_of_the_target_are_found(tmp_path: Path) -> None:
    """The same as over the vectors themselves, and told in the ledger."""
    pool = Searched(tmp_path)
    steps = f"- target: {{{pool.paths}, measure: frechet, dimensions: 8}}\n- write"
    run_steps(tmp_path / "run", [pool.entry], steps, part_samples=17)
    expected = pool.by_brute_force()
    assert set(np.flatnonzero(expected.rank <= expected.best).tolist()) == {0, 2}
    decided = by_uid(tmp_path / "run")
    for uid, concept in zip(pool.made.uid, pool.concept.tolist(), strict=True):
        row, rank = decided[uid], expected.rank[concept]
        assert row["target"] == rank
        assert row["kept"] == (rank <= 2)
        if not row["kept"]:
            assert (row["reason"], row["value"], row["bound"]) == ("off_target", rank, 2)
            assert row["message"].startswith(f"concept {concept} is number {rank} of 5 from the")
            (lies,) = re.findall("the union lies (.*) away", row["message"])
            assert float(lies) == pytest.approx(expected.union[concept], rel=0.02)


def test_a_budget_takes_concepts_in_the_order_of_the_search(tmp_path: Path) -> None:
    """The last is cut by uid; another budget is decided again, also one beyond what the search found."""
    pool = Searched(tmp_path)
    steps = f"- target: {{{pool.paths}, measure: frechet, dimensions: 8, keep: 70}}\n- write"
    run_steps(tmp_path / "run", [pool.entry], steps, part_samples=17)
    rank = pool.by_brute_force().rank[pool.concept]
    ordered = sorted(range(200), key=lambda n: (rank[n], pool.made.uid[n]))
    kept = {uid for uid, row in by_uid(tmp_path / "run").items() if row["kept"]}
    assert kept == {pool.made.uid[n] for n in ordered[:70]}
    bounds = {row["bound"] for row in by_uid(tmp_path / "run").values() if not row["kept"]}
    assert bounds == {rank[ordered[69]]}
    change = whatif(open_run(str(tmp_path / "run")), ["target.keep=190"])
    assert change.kept_after == 190


def test_moments_do_not_depend_on_groups_of_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Searched(tmp_path)
    steps = f"- target: {{{pool.paths}, measure: frechet, dimensions: 3}}"
    from tamis.pipeline.steps.selectors.target import step

    run_steps(tmp_path / "once", [pool.entry], steps, part_samples=17)
    monkeypatch.setattr(step, "ROWS_PER_CONCEPT", 4)
    run_steps(tmp_path / "often", [pool.entry], steps, part_samples=5)
    tables = "tables/target"
    assert len(list((tmp_path / "often" / tables / "moments").glob("range-*"))) > 5
    found = [
        {uid: (row["target"], row["message"]) for uid, row in by_uid(tmp_path / name).items()}
        for name in ("once", "often")
    ]
    assert found[0] == found[1]


def kinds(folder: Path, sizes: tuple[int, int], seed: int) -> tuple[Samples, dict[str, Any]]:
    """Pairs of two kinds, in each of which captions belong to pictures in a way of its own."""
    fixed = np.random.default_rng(21)
    ways = [[fixed.standard_normal((24, 16)) for _ in range(2)] for _ in sizes]
    draw = np.random.default_rng(seed)
    image, text = (
        unit(
            np.concatenate(
                [
                    meanings(size, seed + number) @ way[side]
                    + 0.1 * draw.standard_normal((size, 16))
                    for number, (size, way) in enumerate(zip(sizes, ways, strict=True))
                ]
            )
        )
        for side in range(2)
    )
    made = Samples([draw.bytes(16).hex() for _ in image], image, {})
    entry = write_input(folder, made, 2)
    for number, rows in enumerate(np.array_split(np.arange(len(made)), 2)):
        np.save(folder / f"text_emb_{number:05d}.npy", text[rows])
    return made, {**entry, "text_embeddings": f"{folder}/text_emb_*.npy"}


def test_what_teaches_the_targets_way_has_influence(tmp_path: Path) -> None:
    """Pictures alone do not tell the kinds; the gradient of the target's pairs does. Kept is exactly the budget."""
    made, entry = kinds(tmp_path / "in", (200, 200), 1)
    _, wanted = kinds(tmp_path / "wanted", (120, 0), 50)
    run_steps(tmp_path / "good", [wanted], "")
    steps = (
        f"- target: {{path: {tmp_path}/good, measure: influence, references: 80, runs: 2, keep: 100, "
        "floor: 0.1}\n- write"
    )
    run_steps(tmp_path / "run", [entry], steps, part_samples=90)
    decided = by_uid(tmp_path / "run")
    value = np.array([decided[uid]["target"] for uid in made.uid])
    ranks = np.argsort(np.argsort(value))
    area = (ranks[:200].sum() - 200 * 199 / 2) / 200**2
    assert area > 0.8
    kept = np.array([decided[uid]["kept"] for uid in made.uid])
    assert kept.sum() == 100
    assert kept[:200].mean() > 2 * kept[200:].mean()
    dropped = [row for row in decided.values() if not row["kept"]]
    assert all(row["value"] <= row["bound"] and row["message"] is None for row in dropped)
    run = open_run(str(tmp_path / "run"))
    (row,) = run.find(next(uid for uid, row in decided.items() if not row["kept"]))
    (last,) = [step for step in tell(run, row)["steps"] if step["step"] == "target"]
    assert "training on others helps the target's pairs more" in str(last)
    change = whatif(open_run(str(tmp_path / "run")), ["target.keep=150"])
    assert change.kept_after == 150


def test_influence_does_not_depend_on_order_or_parts(tmp_path: Path) -> None:
    made, entry = kinds(tmp_path / "in", (40, 40), 1)
    run_steps(tmp_path / "good", [entry], "- random: {keep: 30}")
    steps = (
        f"- target: {{path: {tmp_path}/good, measure: influence, references: 20, runs: 1, keep: 9}}"
    )
    run_steps(tmp_path / "a", [entry], steps, part_samples=11)
    turned = [
        {**entry, "name": name, "path": f"{tmp_path}/in/0000{n}.parquet", **_files(tmp_path, n)}
        for name, n in (("x", 1), ("y", 0))
    ]
    run_steps(tmp_path / "b", turned, steps, part_samples=70)
    values = [{uid: row["target"] for uid, row in by_uid(tmp_path / name).items()} for name in "ab"]
    assert values[0] == values[1]
    assert len(values[0]) == len(made)


def _files(folder: Path, number: int) -> dict[str, str]:
    return {
        "image_embeddings": f"{folder}/in/img_emb_0000{number}.npy",
        "text_embeddings": f"{folder}/in/text_emb_0000{number}.npy",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("measure: frechet, keep: 2", "measure: frechet needs `centroids`"),
        (
            "measure: frechet, centroids: DIR/t.npy, least: 2",
            "measure: frechet finds by itself where to stop: leave `least` out",
        ),
        ("measure: frechet, centroids: DIR/t.npy, floor: 0.1", "belong to `keep`"),
        ("keep: 2, runs: 3", "runs: of another measure than nearest: leave out"),
        ("keep: 2, measure: influence, side: text", "compares pairs: leave `side` out"),
        ("keep: 2, measure: influence", "has one side alone, and pairs are needed"),
        (
            "measure: frechet, centroids: DIR/many.npy, dimensions: 512",
            "moments of 1,000 concepts in 512 dimensions take 2.1 GB, at most 2: set `dimensions: 500`",
        ),
        (
            "measure: frechet, centroids: DIR/wide.npy",
            "vectors of 3 numbers are compared with a target of 8",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, settings: str, message: str) -> None:
    _, entry = kinds(tmp_path / "in", (20, 20), 1)
    saved(tmp_path / "t.npy", np.eye(8))
    saved(tmp_path / "many.npy", np.eye(1_000, 8) + 1)
    saved(tmp_path / "wide.npy", np.eye(3))
    step = f"- target: {{path: DIR/t.npy, {settings}}}".replace("DIR", str(tmp_path))
    with pytest.raises(TamisError, match=re.escape(message)) as caught:
        run_steps(tmp_path / "run", [entry], step)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ("measure: frechet, centroids: c.npy", "64 x 64 x 8 B: 32,768 B"),
        ("measure: influence, keep: 3", "4 x 4,096 references x 64 numbers x 32 B: 34 MB"),
    ],
)
def test_the_plan_says_what_a_worker_holds(settings: str, note: str) -> None:
    config = Config.model_validate(yaml12.load(f"{{path: runs/birds, {settings}}}"))
    assert any(note in line for line in config.notes(None, lambda _: 512))


def test_what_a_budget_drops_is_not_said_to_come_after_the_best_concepts() -> None:
    """The last concept that a budget reaches is one of them, and loses samples all the same."""
    settings = {"path": "t.npy", "measure": "frechet", "centroids": "c.npy"}
    searched = Config.model_validate(settings).meaning(OFF_TARGET)
    cut = Config.model_validate({**settings, "keep": 10}).meaning(OFF_TARGET)
    assert searched == "its concept comes after those that together are most like the target"
    assert cut == "concepts before its own, or others in it, have filled the budget"
