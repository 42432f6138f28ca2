"""What is said of figures: better and worse only where a paired test says so, and deduplication's merit is its own."""

from tamis.pipeline.audit.reading.verdict import (
    by_luck,
    chance,
    curve,
    significant,
    tells_sizes,
    training_told,
    verdict,
)
from tamis.schemas.evaluation import Comparison, Evaluation, Figure, Point, Split, Training

SEEDS, STEPS, POOL = 3, 80, 8


def point(selector: str, budget: float, *values: float, p: float | None = None) -> Point:
    mean = sum(values) / len(values)
    against = None if p is None else Comparison(difference=0.1, p=p)
    figure = Figure(values=values, mean=mean, spread=0.01, against_random=against)
    return Point(
        selector=selector,
        budget=budget,
        steps=STEPS,
        pairs=(10,) * SEEDS,
        figures={"recall_at_10": figure},
    )


def evaluation(*points: Point, seeds: int = SEEDS, tested: int = 200) -> Evaluation:
    splits = [
        Split(
            seed=s,
            pairs=9,
            tested=tested,
            sources={"own": tested},
            relatives=0,
            alike=0,
            undrawn=0,
            pool=POOL,
            exchanged=0,
            candidates=4,
        )
        for s in range(seeds)
    ]
    training = Training(steps=STEPS, batch=1, width=1, rate=1, decay=0)
    return Evaluation(
        job="a",
        encoder="demo",
        holdout="0.2",
        classes=None,
        training=training,
        splits=tuple(splits),
        points=points,
        notes=(),
    )


RANDOM = [point("random", at, 0.10, 0.12, 0.11) for at in (0.1, 0.2)]
CLEAN = [point("deduplicated", at, 0.20, 0.23, 0.21, p=0.01) for at in (0.1, 0.2)]
DENSE = [
    point("density", 0.1, 0.10, 0.125, 0.105, p=0.4),
    point("density", 0.2, 0.20, 0.225, 0.22, p=0.01),
]
FULL = point("full", 1.0, 0.21, 0.21, 0.21)


def test_what_deduplication_gains_is_not_the_selectors() -> None:
    found = evaluation(*DENSE, *RANDOM, *CLEAN, FULL)
    assert verdict(found, "density") == (
        "density: no different from random at 10%, better than random at 20%; "
        "worse than deduplicated at 10%, no different from deduplicated at 20%; "
        "after 80 steps reaches the full set's R@10 of 0.210 with 20% of the pairs (p = 0.58 between them)"
    )
    assert verdict(found, "deduplicated") == (
        "deduplicated: better than random at 10%, 20%; "
        "after 80 steps reaches the full set's R@10 of 0.210 with 10% of the pairs (p = 0.74 between them)"
    )


def test_without_a_difference_it_says_so() -> None:
    found = evaluation(DENSE[0], *RANDOM, FULL)
    assert verdict(found, "density") == (
        "density: no different from random at any size; "
        "after 80 steps reaches the full set's R@10 of 0.210 at no size"
    )


def test_what_a_longer_training_takes_back_is_said() -> None:
    found = evaluation(*DENSE, *RANDOM, FULL)
    better = FULL.model_copy(update={"figures": point("full", 1.0, 0.3, 0.31, 0.29).figures})
    longer = [one.model_copy(update={"steps": 4 * STEPS}) for one in (*DENSE, *RANDOM, better)]
    both = found.model_copy(update={"points": (*found.points, *longer)})
    assert verdict(both.after(4 * STEPS), "density").endswith(
        "after 320 steps reaches the full set's R@10 of 0.300 at no size, though it did with 20% after 80"
    )
    assert verdict(both.after(4 * STEPS), "random").endswith("R@10 of 0.300 at no size")
    assert verdict(both, "density") == verdict(found, "density")


def test_all_pairs_with_a_teacher_do_not_reach_themselves() -> None:
    taught = point("full, distilled 0.5", 1.0, 0.22, 0.22, 0.221)
    said = verdict(evaluation(*DENSE, *RANDOM, FULL, taught), "full, distilled 0.5")
    assert said == "full, distilled 0.5: better than full at 100%"


def test_one_seed_tests_nothing() -> None:
    found = evaluation(DENSE[1], RANDOM[1], seeds=1)
    assert verdict(found, "density") == "density: one seed, so nothing is tested"
    assert "a longer training may order the choices otherwise" in training_told(found)


def test_the_same_difference_in_every_seed_is_one() -> None:
    above = point("density", 0.1, 0.20, 0.22, 0.21)
    found = evaluation(above, *RANDOM)
    assert verdict(found, "density") == "density: better than random at 10%"
    same = point("density", 0.1, 0.10, 0.12, 0.11)
    assert verdict(evaluation(same, *RANDOM), "density").endswith("random at any size")
    assert chance(evaluation(same, *RANDOM)).startswith("no test")


def test_where_the_full_set_is_at_chance_nothing_was_learned() -> None:
    found = evaluation(*DENSE, *RANDOM, FULL, tested=60)
    assert by_luck(found) == (
        "R@10 by chance is 0.167, and trained on all pairs it is 0.210: in 80 steps nothing was learned from them, so "
        "that differences between choices mean nothing"
    )
    assert "full set" not in verdict(found, "density")
    assert by_luck(evaluation(*DENSE, *RANDOM, FULL)) == "R@10 by chance is 0.050"
    learned = point("score", 0.1, 0.4, 0.41, 0.42, p=0.01)  # of a pool that teaches little
    assert (
        by_luck(evaluation(*DENSE, *RANDOM, FULL, learned, tested=60)) == "R@10 by chance is 0.167"
    )


def test_chance_counts_the_tests() -> None:
    """Density against random and the deduplicated, those against random: at two sizes each."""
    found = evaluation(*DENSE, *RANDOM, *CLEAN, FULL)
    assert chance(found).startswith("6 paired t-tests over 3 seeds: at p < 0.05 about 0.3 would")
    assert chance(evaluation(DENSE[0], RANDOM[0])).startswith("1 paired t-test over")
    assert [significant(p) for p in (*DENSE, *RANDOM, FULL)] == [False, True, False, False, False]


def test_where_sizes_cannot_be_told_apart_nothing_reaches_the_full_set() -> None:
    """All pairs are hardly better than the smallest random choice: a tenth of them does as well as any."""
    level = point("full", 1.0, 0.103, 0.124, 0.114)
    found = evaluation(*DENSE, *RANDOM, level, tested=2000)
    assert not tells_sizes(found)  # although each seed is better by the same
    assert verdict(found, "density").endswith("better than random at 20%")
    told = training_told(found)
    assert "sizes cannot be told apart (random pairs have 0.110 at 10%, and all 0.114)" in told
    assert "--steps 320 trains longer" in told
    short = found.after(STEPS // 2)
    points = [one.model_copy(update={"steps": STEPS // 2}) for one in found.points]
    short = short.model_copy(update={"points": tuple(points)})
    assert short.epochs == 5
    assert "cannot be told apart" in training_told(short)
    shorter = short.model_copy(update={"training": short.training.model_copy(update={"batch": 0})})
    assert "too short to tell sizes apart" in training_told(shorter)


def test_without_all_pairs_the_largest_random_choice_tells_sizes() -> None:
    larger = point("random", 0.4, 0.2, 0.22, 0.21)
    assert tells_sizes(evaluation(*DENSE, *RANDOM, larger))
    assert not tells_sizes(evaluation(*DENSE, RANDOM[0]))
    assert not tells_sizes(evaluation(*DENSE))


def test_what_is_said_is_said_of_a_length_of_training() -> None:
    told = training_told(evaluation(*DENSE, *RANDOM, FULL))
    assert told == (
        "all of it after 80 steps, in which all pairs of the pool are seen 10 times; a longer training may order the "
        "choices otherwise: --steps 80,320 shows it"
    )


def test_a_curve_has_a_figure_for_each_length() -> None:
    """Verdicts are those of the longest."""
    early = [one.model_copy(update={"steps": 20}) for one in (*RANDOM, FULL)]
    found = evaluation(*DENSE, *RANDOM, FULL, *early)
    assert found.lengths == [20, 80]
    assert [point.steps for point in found.line("random")] == [80, 80]
    rows = {(name, budget): figures for name, budget, *figures in curve(found)}
    assert rows["random", "10%"] == ["0.110 ± 0.010"] * 2
    assert rows["density", "20%"] == ["", "0.215 ± 0.010"]
