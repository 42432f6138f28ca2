"""The comparison finds what is there, and nothing where nothing is."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from tamis.pipeline.audit.reading.paired import paired
from tamis.pipeline.evaluate import compare, holdout
from tamis.pipeline.evaluate.choices import Choices, Settings, names
from tamis.pipeline.evaluate.compare import Asked, Trial
from tamis.pipeline.evaluate.pairs import Pairs
from tamis.pipeline.evaluate.students import HEADS
from tamis.pipeline.steps.selectors.coverage.config import Coverage
from tamis.pipeline.steps.selectors.density.config import Density
from tamis.pipeline.steps.selectors.prototypes.config import Prototypes
from tamis.pipeline.steps.selectors.score.config import Score
from tamis.schemas.evaluation import Point, Training
from tests.support.synthetic import DIM, meanings, pairs, views

SEEDS = range(5)
TRAINING = Training(steps=80, batch=32, width=16, rate=3e-3, decay=0.1)


def choices() -> Choices:
    settings = Settings(
        Density(keep=1.0),
        Prototypes(keep=1.0),
        Coverage(score="hardness", keep=1.0),
        Score(signal="quality", keep=1.0),
        seed=42,
    )
    return Choices(settings, np.eye(1, DIM, dtype=np.float32))


def compared(made: Pairs, selectors: list[str], budgets: list[float]) -> dict[str, list[Point]]:
    """Points by selector, of five holdouts of whole groups."""
    group = holdout.groups(made)
    # Copies here are copies of a picture: they have one embedding.
    _, same = np.unique(made.image.view(np.uint8), axis=0, return_inverse=True)
    assert (group == np.arange(len(group))).all()
    holdouts = [holdout.by_share(made, _first_of(same), 0.2, seed) for seed in SEEDS]
    asked = Asked(selectors, budgets, SEEDS)
    trials, notes = compare.plan(made, holdouts, choices(), asked)
    assert not notes
    training = TRAINING.model_copy(update={"batch": min(32, compare.batch_of(trials))})
    found = compare.points(
        trials, compare.Bench(made, holdouts, HEADS).measure(trials, training), 80
    )
    return {name: [point for point in found if point.selector == name] for name in selectors}


def _first_of(label: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Groups named by their first row."""
    _, first, place = np.unique(label, return_index=True, return_inverse=True)
    named: npt.NDArray[np.int64] = first[place].astype(np.int64)
    return named


def test_steps_that_choose_in_memory_are_compared() -> None:
    kinds = {"density", "prototypes", "coverage", "score"}
    variants = {f"density-{which}" for which in ("hard", "random", "easy")}
    stored = {"target", "importance", "quotas"}  # that is what only a run with such a step has
    assert set(names()) == {*kinds, *variants, *stored, "random", "deduplicated"}
    settings = choices().settings
    assert set(settings.choices) == kinds | variants
    assert settings.choices["density-easy"].config.which == "easy"
    assert settings.signals == ["hardness", "quality"]


def test_shuffled_captions_leave_no_advantage_to_anyone() -> None:
    image, caption = views(meanings(900))
    made = pairs(image, caption[np.random.default_rng(3).permutation(len(caption))])
    found = compared(made, ["random", "score", "density", "full"], [0.2, 0.5])
    tests = []
    for point in [point for line in found.values() for point in line]:
        held = 10 / 150  # chance of R@10 among the least held-out pairs that a seed may have
        assert point.headline.mean < held + 0.04
        against = point.headline.against_random
        if against is not None:
            assert against.p is not None
            tests.append(against.p)
    assert len(tests) == 4
    assert min(tests) > 0.05 / len(tests)  # Bonferroni: none of them is more than chance


def test_of_a_pool_of_duplicates_the_deduplicated_set_wins() -> None:
    """Five sixths of the pool are copies of five pairs: most of a random tenth, none of a deduplicated one."""
    meaning = meanings(600)
    copied = np.concatenate([meaning, np.repeat(meaning[:5], 600, axis=0)])
    image, caption = views(copied)
    image[600:], caption[600:] = (
        np.repeat(image[:5], 600, axis=0),
        np.repeat(caption[:5], 600, axis=0),
    )
    made = pairs(image, caption, candidate=np.arange(len(copied)) < 600)
    made = _spread(made)
    found = compared(made, ["random", "deduplicated"], [0.05, 0.1])
    for point in found["deduplicated"]:
        against = point.headline.against_random
        assert against is not None
        assert against.p is not None
        assert against.difference > 0.05
        assert against.p < 0.05


def _spread(made: Pairs) -> Pairs:
    """The same pairs under uids in another order, as they come in a real run."""
    order = np.random.default_rng(11).permutation(len(made))
    mixed = made.take(order)
    mixed.uid[:] = made.uid
    return mixed


def test_a_better_signal_shows() -> None:
    """Two thirds of the captions belong to other pictures, and a score knows which: it must win."""
    meaning = meanings(900)
    image, caption = views(meaning)
    wrong = np.arange(900) % 3 != 0
    caption[wrong] = caption[np.roll(np.flatnonzero(wrong), 7)]
    made = pairs(image, caption)
    made.signals[:] = np.where(wrong, 0.0, 1.0)[:, None]
    (point,) = compared(made, ["random", "score"], [0.3])["score"]
    against = point.headline.against_random
    assert against is not None
    assert against.p is not None
    assert against.difference > 0.05
    assert against.p < 0.05


def test_a_filter_by_similarity_survives_exchanged_captions() -> None:
    """Both sides lie in one space, as CLIP's do: of half-exchanged captions the similar half is nearly clean."""
    meaning = meanings(900)
    random = np.random.default_rng(2)
    sides = [meaning + 0.5 * random.normal(size=meaning.shape) for _ in range(2)]
    image, caption = (
        (side / np.linalg.norm(side, axis=1, keepdims=True)).astype(np.float32) for side in sides
    )
    made = pairs(image, caption)
    chooser = choices()
    quality = chooser.settings.column("quality")
    made.signals[:, quality] = (image * caption).sum(axis=1)
    clean = [holdout.by_share(made, np.arange(900), 0.2, seed) for seed in SEEDS]
    holdouts = [holdout.exchanged(made, held, 0.5, quality) for held in clean]
    asked = Asked(["random", "score:0.5>random"], [0.3], SEEDS)
    trials, notes = compare.plan(made, holdouts, chooser, asked)
    assert not notes
    found = compare.points(
        trials, compare.Bench(made, holdouts, HEADS).measure(trials, TRAINING), 80
    )
    (gain,) = [p.headline.against_random for p in found if p.selector == "score:0.5>random"]
    assert gain is not None
    assert gain.p is not None
    assert gain.difference > 0.05
    assert gain.p < 0.05


def test_the_paired_test_is_the_t_test_of_the_differences() -> None:
    values, base = [0.5, 0.6, 0.55, 0.7], [0.4, 0.45, 0.5, 0.5]
    expected = stats.ttest_1samp(np.subtract(values, base), 0).pvalue
    assert paired(values, base) == pytest.approx(float(expected))
    assert paired([0.5], [0.4]) is None
    assert paired(base, base) is None
    assert paired([0.30, 0.31], [0.1, 0.11]) == 0.0


def test_threads_change_nothing() -> None:
    made = pairs(*views(meanings(300)))
    holdouts = [holdout.by_share(made, np.arange(300), 0.2, seed) for seed in (0, 1)]
    rows = holdouts[0].pool
    trials = [Trial("a", 0.5, seed, rows[:100]) for seed in (0, 1, 0)]
    one, three = (
        compare.Bench(made, holdouts, HEADS).measure(trials, TRAINING, threads=n) for n in (1, 3)
    )
    assert one == three
    assert one[0] == one[2]


def test_points_that_cannot_be_made_are_said() -> None:
    made = pairs(*views(meanings(300)), candidate=np.arange(300) < 100)
    holdouts = [holdout.by_share(made, np.arange(300), 0.2, seed) for seed in (0, 1)]
    asked = Asked(["random", "deduplicated"], [0.01, 0.2, 0.8], [0, 1])
    trials, notes = compare.plan(made, holdouts, choices(), asked)
    assert {(trial.selector, trial.budget) for trial in trials} == {
        ("random", 0.2),
        ("random", 0.8),
        ("deduplicated", 0.2),
    }
    assert [note.split(" is left out")[0] for note in notes] == [
        "random at 1%",
        "deduplicated at 1%",
        "deduplicated at 80%",
    ]
    share = float(notes[-1].rpartition(": at most ")[2].removesuffix("%")) / 100
    for at, left_out in ((share, 0), (share + 0.01, 1)):
        _, notes = compare.plan(
            made, holdouts, choices(), Asked(["deduplicated"], [0.1, at], [0, 1])
        )
        assert len(notes) == left_out
