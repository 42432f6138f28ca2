"""Students that begin from nothing: the same bits twice, something is learned, and what a teacher adds to the loss."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tamis.pipeline.algorithms import contrastive, heads, students
from tamis.pipeline.algorithms.contrastive import Sides, Teaching
from tamis.pipeline.algorithms.students import SIDE, TOKENS, WORDS, Student
from tamis.pipeline.evaluate import measures
from tamis.schemas.evaluation import Training
from tests.support.synthetic import meanings, views

TRAINING = Training(steps=150, batch=32, width=16, rate=3e-3, decay=0.1)
COLOURS = {"red": (200, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 220), "grey": (120, 120, 120)}
PLACES = ("left", "right", "above", "below")


def captions() -> list[str]:
    return [f"{colour} {place}" for colour in COLOURS for place in PLACES]


def features(count: int) -> Sides:
    """Noisy copies of sixteen patterns, each with its caption, in turn."""
    random = np.random.default_rng(0)
    patterns = random.normal(size=(16, 24)).astype(np.float32)
    kind = np.arange(count) % 16
    noisy = patterns[kind] + random.normal(scale=0.3, size=(count, 24)).astype(np.float32)
    return Sides(noisy, students.tokens([captions()[one] for one in kind]))


def pictures(count: int) -> Sides:
    """Half of each picture is coloured, as its caption says."""
    random = np.random.default_rng(0)
    shown = random.integers(225, 256, (count, SIDE, SIDE, 3)).astype(np.uint8)
    half = SIDE // 2
    where = {
        "left": np.s_[:, :half],
        "right": np.s_[:, half:],
        "above": np.s_[:half],
        "below": np.s_[half:],
    }
    told = [captions()[row % 16] for row in range(count)]
    for picture, caption in zip(shown, told, strict=True):
        colour, place = caption.split()
        picture[where[place]] = COLOURS[colour]
    return Sides(shown, students.tokens(told))


@pytest.mark.parametrize(
    ("train", "made"), [(students.of_features, features), (students.of_pictures, pictures)]
)
def test_it_learns_and_gives_the_same_bits(train, made) -> None:  # type: ignore[no-untyped-def]
    pairs = made(320)
    unseen = made(336).take(np.arange(320, 336))
    once, twice, other = (train(pairs, TRAINING, seed) for seed in (0, 0, 1))
    bits = [_bits(student, unseen) for student in (once, twice, other)]
    assert bits[0] == bits[1] != bits[2]
    # One of sixteen each way: chance is .06.
    assert measures.ways(once, unseen).recall(1) > 0.8
    idle = train(pairs, TRAINING.model_copy(update={"rate": 0.0}), 0)
    assert measures.ways(idle, unseen).recall(1) < 0.3


def _bits(student: Student, pairs: Sides) -> bytes:
    return student.images(pairs.image).tobytes() + student.texts(pairs.text).tobytes()


def test_vectors_have_length_one_and_depend_on_their_own_row() -> None:
    pairs = features(2 * students.BLOCK + 5)
    student = students.of_features(features(64), TRAINING.model_copy(update={"steps": 3}), 0)
    found = student.images(pairs.image)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert student.images(pairs.image[-3:]) == pytest.approx(found[-3:], abs=1e-6)


def test_tokens_are_words_and_runs_of_four_letters() -> None:
    found = students.tokens(["Red bird", "red", "", "bird  RED", "w" * 99])
    assert found.shape == (5, TOKENS)
    assert (found >= 0).all()
    assert (found < WORDS).all()
    filled = (found > 0).sum(axis=1).tolist()
    # "red" and "bird", and of "<bird>" the runs "<bir", "bird", "ird>".
    assert filled == [5, 1, 0, 5, TOKENS]
    assert found[0, 0] == found[1, 0]
    assert set(found[0].tolist()) == set(found[3].tolist())


def test_a_caption_without_words_is_read_too() -> None:
    pairs = features(64)
    student = students.of_features(pairs, TRAINING.model_copy(update={"steps": 3}), 0)
    assert np.isfinite(student.texts(students.tokens(["", "?!"]))).all()


def test_the_loss_of_a_student_beside_a_teacher() -> None:
    """Logits 2, 0, 0 and a teacher's 1, 1, 0, worked out by hand at a temperature of 2."""
    student, teacher = torch.tensor([[2.0, 0, 0]]), torch.tensor([[1.0, 1, 0]])
    assert float(contrastive.divergence(teacher / 2, student / 2)) == pytest.approx(
        0.093425, abs=1e-6
    )
    assert float(contrastive.divergence(student, student)) == pytest.approx(0, abs=1e-7)


def brute_loss(
    left: npt.NDArray[np.float64], taught: npt.NDArray[np.float64], alpha: float
) -> float:
    """The loss, written out row by row."""
    total = 0.0
    for own, teacher in ((left, taught), (left.T, taught.T)):
        for row in range(len(own)):
            p = np.exp(teacher[row]) / np.exp(teacher[row]).sum()
            q = np.exp(own[row]) / np.exp(own[row]).sum()
            entropy = -math.log(q[row])
            apart = sum(p[i] * math.log(p[i] / q[i]) for i in range(len(p)))
            total += ((1 - alpha) * entropy + alpha * apart) / len(own) / 2
    return total


@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
def test_the_loss_of_a_batch_is_that_of_brute_force(alpha: float) -> None:
    random = np.random.default_rng(2)
    logits = random.normal(size=(6, 6)).astype(np.float32)
    image, text = (heads._unit(random.normal(size=(9, 4)).astype(np.float32)) for _ in range(2))
    rows = torch.tensor([8, 0, 3, 5, 1, 2])
    found = contrastive._loss(torch.from_numpy(logits), rows, Teaching(image, text, 0.5, alpha))
    taught = image[rows.numpy()].astype(float) @ text[rows.numpy()].astype(float).T / 0.5
    assert float(found) == pytest.approx(brute_loss(logits.astype(float), taught, alpha), abs=1e-5)


def test_a_student_that_is_taught_comes_nearer_to_its_teacher() -> None:
    every = Sides(*views(meanings(600)))
    teacher = heads.train(every, TRAINING, 0)
    few = every.take(np.arange(48))
    taught = Teaching.of(teacher, few, 1.0)
    apart = []
    for teaching in (None, taught):
        student = heads.train(few, TRAINING, 1, teaching=teaching)
        own = student.images(few.image) @ student.texts(few.text).T / student.temperature
        told = taught.image @ taught.text.T / taught.temperature
        apart.append(float(contrastive.divergence(torch.from_numpy(told), torch.from_numpy(own))))
    assert apart[1] < apart[0] / 2
