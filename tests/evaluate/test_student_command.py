"""Students of ``tamis evaluate`` that read something else than the selectors, and those that have a teacher."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.report.report import report
from tamis.schemas.evaluation import Evaluation, distilled, undistilled
from tests.audit.test_report import Page
from tests.support.evaluating import QUICK, refused, told
from tests.support.running import make_plan, run_here
from tests.support.synthetic import meanings, views


def png(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def write_two(folder: Path, count: int, second: str) -> Path:
    """A run over pictures with two embeddings that came with its input; captions say which of 16 kinds a pair is."""
    random = np.random.default_rng([3, count])
    letters = ["".join(random.choice(list("abcdefgh"), 12)) for _ in range(count)]
    kind = np.arange(count) % 16
    hues = np.random.default_rng(1).integers(64, 192, (16, 1, 1, 3))
    blocks = random.integers(-64, 64, (count, 8, 8, 1)).repeat(5, axis=1).repeat(5, axis=2)
    meaning = meanings(16)[kind] + 0.7 * meanings(count, seed=count)
    image, text = views(meaning)
    arrays = {"image": image, "text": text, "other": views(meaning, seed=6)[0]}
    (folder / "in").mkdir(parents=True)
    columns = {
        "image": [png(hues[k] + block) for k, block in zip(kind, blocks, strict=True)],
        "text": [f"kind{k} {more}" for k, more in zip(kind, letters, strict=True)],
    }
    pq.write_table(pa.table(columns), folder / "in" / "0.parquet")
    for name, rows in arrays.items():
        np.save(folder / "in" / f"{name}.npy", rows)
    entry = {
        "path": f"{folder}/in/0.parquet",
        "image_embeddings": f"{folder}/in/image.npy",
        "text_embeddings": f"{folder}/in/text.npy",
        "embeddings": {"other": {"image": f"{folder}/in/other.npy"}},
    }
    steps = f"""
- embed: {{encoder: precomputed}}
- embed: {{name: {second}, encoder: "precomputed:other", as: {second}}}
- density: {{embedding: embed, clusters: 8, keep: 0.5, neighbours: 3}}
- write"""
    run_here(make_plan(folder / "run", "", steps, input=[entry], name="twofold"))
    return folder / "run"


@pytest.fixture(scope="module")
def twofold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a second embedding."""
    return write_two(tmp_path_factory.mktemp("twofold"), 320, second="second")


@pytest.mark.parametrize(
    ("student", "named", "circular"),
    [
        ("words", "the picture embeddings of `embed` and a bag of words", True),
        ("words:second", "the picture embeddings of `second` and a bag of words", False),
        ("pixels", "pictures of 32 pixels and a bag of words", False),
    ],
)
def test_a_student_may_read_something_else(
    student: str, named: str, circular: bool, twofold: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same twice; and a note says where it reads what a selector reads."""
    steps = "3" if student == "pixels" else "20"
    options = ["--seeds", "1", "--budgets", "0.4", "--steps", steps, "--against", "score"]
    options += ["--student", student]
    found = told(capsys, str(twofold), *options, "--cpus", "2")
    assert told(capsys, str(twofold), *options, "--cpus", "1") == found
    evaluation = Evaluation.model_validate(found)
    assert named in evaluation.student
    assert any("the student reads" in note for note in evaluation.notes) == circular
    assert any(named in words for words in Page(report(open_run(str(twofold)))).words)


def test_students_that_cannot_be(twofold: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(twofold)
    assert "did you mean `pixels`?" in refused(capsys, path, "--student", "pixel")
    assert "no such student" in refused(capsys, path, "--student", "words:third")
    assert "words:second learns words instead" in refused(capsys, path, "--student", "second")
    assert "it cannot read what --classes gives" in refused(
        capsys, path, "--student", "words", "--classes", "text"
    )


def test_a_run_without_pictures_has_no_student_that_looks_at_them(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "none of its pictures can be opened" in refused(capsys, str(run), "--student", "pixels")


def test_a_teacher_of_all_pairs_has_rows_of_its_own(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside all others, which stay as they are; in the report too."""
    quick = [str(run), *QUICK, "--against", "random,score"]
    plain = Evaluation.model_validate(told(capsys, *quick))
    found = Evaluation.model_validate(told(capsys, *quick, "--distil", "0.5,1"))
    own = [point for point in found.points if undistilled(point.selector)[1] == ""]
    assert own == list(plain.points)
    for alpha in (0.5, 1.0):
        for point in plain.points:
            taught = found.point(distilled(point.selector, alpha), point.budget)
            assert taught is not None
            assert taught.pairs == point.pairs
            assert taught.headline != point.headline
    words = Page(report(open_run(str(run)))).words
    assert any(line.startswith("a teacher of all pairs, alpha 0.5, adds") for line in words)
    assert "above 0 and up to 1" in refused(capsys, *quick, "--distil", "1.5")
    assert "--distil 'x': shares" in refused(capsys, *quick, "--distil", "x")


def test_a_student_reads_the_same_step_of_a_finished_run_that_is_held_out(
    twofold: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run without that step is refused."""
    options = ["--seeds", "1", "--budgets", "0.4", "--steps", "5", "--student", "words:second"]
    folder = tmp_path / "held"
    made = {name: write_two(folder / name, 60, second=name) for name in ("second", "third")}
    found = told(capsys, str(twofold), *options, "--holdout", str(made["second"]))
    assert found["splits"][0]["sources"] == {"run": 60}
    assert "has no `embed` step `second`" in refused(
        capsys, str(twofold), *options, "--holdout", str(made["third"])
    )
