"""Test pairs by how rare their subject is: a third of them by brute force, and none where all are as common."""

import numpy as np

from tamis.pipeline.evaluate import holdout, rarity
from tamis.pipeline.evaluate.compare import over_groups
from tamis.pipeline.evaluate.measures import Ways
from tamis.schemas.evaluation import COMMON, RARE
from tests.support.synthetic import meanings, pairs, views

SIZES = (400, 150, 60, 20)


def divided(seed: int = 0) -> tuple[np.ndarray, holdout.Holdout]:
    """Pairs of four concepts of such sizes, and a holdout of a fifth of them."""
    made = pairs(*views(meanings(sum(SIZES))))
    held = holdout.by_share(made, np.arange(len(made)), 0.2, seed)
    return np.repeat(np.arange(4), SIZES).astype(np.int32), held


def test_the_rare_are_at_most_a_third_and_rarer_than_all_others() -> None:
    concept, held = divided()
    (tested,) = held.tested.values()
    found = rarity.by_rarity(concept, held)
    rare, common = found[RARE], found[COMMON]
    assert np.array_equal(rare | common, np.isin(np.arange(len(concept)), tested))
    assert not (rare & common).any()
    assert 0 < rare.sum() <= len(tested) / rarity.PARTS
    pool = {number: int((concept[held.pool] == number).sum()) for number in range(4)}
    most = max(pool[number] for number in concept[rare].tolist())
    assert most < min(pool[number] for number in concept[common].tolist())


def test_one_concept_has_no_groups() -> None:
    concept, held = divided()
    assert rarity.by_rarity(np.zeros_like(concept), held) == {}
    assert rarity.of_every(None, [held]) == {}
    assert rarity.of_every(np.zeros_like(concept), [held]) == {}
    assert set(rarity.of_every(concept, [held, divided(1)[1]])) == {0, 1}


def test_concepts_are_of_pictures_or_of_both_sides() -> None:
    made = pairs(*views(meanings(60)))
    image, caption = made.image.astype(np.float32), made.caption.astype(np.float32)
    both = (np.concatenate([image, caption], axis=1) / 2**0.5).astype(np.float32)
    for rows in (image, both):
        found = rarity.concepts(made, rows[:7])
        assert found is not None
        assert found.tolist() == (rows @ rows[:7].T).argmax(axis=1).tolist()
    assert rarity.concepts(made, both[:7, :5]) is None


def test_a_group_is_found_among_its_whole_source() -> None:
    ways = {
        "a": Ways(np.array([1, 11, 3]), np.array([20, 2, 4])),
        "b": Ways(*np.array([[9], [30]])),
    }
    tested = {"a": np.array([4, 6, 7]), "b": np.array([2])}
    mask = np.isin(np.arange(9), [6, 2])
    (found,) = over_groups(ways, tested, {"mine": mask}).values()
    # Of rows 6 and 2: ranks 11 and 9 one way, 2 and 30 the other.
    assert found == (1 / 2 + 1 / 2) / 2
