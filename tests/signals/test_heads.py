"""Heads of each kind: the score, the file formats, and what is refused."""

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from tamis.pipeline import encoders
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import stories
from tamis.pipeline.evaluate.pairs import read
from tamis.pipeline.signals.heads import LayeredHead, PromptHead, read_head
from tamis.schemas.errors import JobError, ModelError
from tests.conftest import ROOT
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


WEIGHT = np.array([[1.0, -2.0, 0.5]], dtype=np.float32)
BIAS = np.array([3.0], dtype=np.float32)


@pytest.mark.parametrize(
    "data", [npz(weight=WEIGHT, bias=BIAS), save({"weight": WEIGHT, "bias": BIAS})]
)
def test_both_formats_give_the_weighted_sum_and_the_bias(data: bytes) -> None:
    head = read_head(data, "aesthetic")
    scores = head.score(np.array([[1, 1, 2], [0, 0, 0]], dtype=np.float16))
    assert head.dim == 3
    assert scores.dtype == np.float32
    assert scores.tolist() == [3.0, 3.0]


def test_sigmoid_makes_a_probability() -> None:
    head = read_head(npz(weight=np.array([1.0]), bias=0.0, sigmoid=1), "watermark")
    scores = head.score(np.array([[0.0], [np.log(3)], [-1e4], [1e4]], dtype=np.float64))
    assert scores.tolist() == pytest.approx([0.5, 0.75, 0.0, 1.0])


@given(st.integers(1, 40), st.integers(1, 2100), st.integers(0, 99))
def test_a_rows_score_does_not_depend_on_its_neighbours(dim: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((rows, dim)).astype(np.float16)
    head = read_head(npz(weight=rng.standard_normal(dim), bias=rng.standard_normal()), "head")
    together = head.score(embeddings)
    picked = rng.integers(0, rows, 5)
    assert together[picked].tolist() == [head.score(embeddings[[row]])[0] for row in picked]
    assert isinstance(head, LayeredHead)
    exact = embeddings.astype(np.float64) @ head.layers[0].weight[0] + head.layers[0].bias
    assert together == pytest.approx(exact, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            npz(weight=WEIGHT),
            "has the arrays weight_0: it needs bias_0, weight_0, and may have joint, mean",
        ),
        (npz(weight=WEIGHT, bias=BIAS, scale=BIAS), "scale"),
        (npz(scale=BIAS), "has the arrays scale: it needs bias_0, weight_0"),
        (npz(weight=np.ones((2, 3)), bias=BIAS), r"bias_0 is \(1,\): it has to be \(2,\)"),
        (npz(weight=WEIGHT, bias=np.ones(3)), r"bias_0 is \(3,\): it has to be \(1,\)"),
        (
            npz(weight=np.ones((2, 3)), bias=np.ones(2)),
            "last layer has 2 outputs: it has to have one",
        ),
        (npz(weight=np.array([np.nan]), bias=BIAS), "a number that is not finite"),
        (npz(weight=WEIGHT, bias=BIAS, sigmoid=2), r"sigmoid is \[2.0\]: it is 0 or 1"),
        (npz(weight=np.ones(4), bias=BIAS, joint=1), r"\(1, 4\): with `joint` it is \(out, 3 d\)"),
        (npz(weight=WEIGHT, bias=BIAS, mean=np.zeros(3)), "has one of `mean` and `variance`"),
        (npz(weight=WEIGHT, bias=BIAS, mean=np.zeros(3), variance=np.zeros(3)), "not above 0"),
        (npz(weight=WEIGHT, bias=BIAS, mean=np.zeros(2), variance=np.ones(2)), r"both are \(3,\)"),
        (npz(weight_0=WEIGHT, bias_0=BIAS, weight_1=WEIGHT, bias_1=BIAS), r"be \(out, 1\)"),
        (
            npz(weight_0=WEIGHT, bias_0=BIAS, weight_2=WEIGHT, bias_2=BIAS),
            "bias_2, weight_0, weight_2",
        ),
        (npz(image=np.ones((2, 3)), text=np.ones((2, 4))), r"text \(2, 4\): both have to be"),
        (npz(image=np.ones((2, 3))), "has the arrays image: it needs image, text"),
        (npz(prompts=np.ones((2, 3)), flagged=[1, 1]), "each of the 2 prompts, and both occur"),
        (npz(prompts=np.zeros((2, 3)), flagged=[0, 1]), "and no row zero"),
        (
            npz(prompts=np.ones((2, 3)), flagged=[0, 1], names=["a"]),
            r"names is \(1,\): it has a text for each of the 2 prompts",
        ),
        (npz(weight=WEIGHT, bias=BIAS, names=["a"]), "bias_0, names, weight_0"),
        (npz(prompts=np.ones((2, 3)), flagged=["a", "b"]), "flagged is of <U1"),
        (npy(np.ones((3, 4))), r"\(3, 4\) is not \(2, d\)"),
        (npz(weight=np.array(["a"]), bias=BIAS), "no .npz, .npy or safetensors"),
        (npz(weight=np.array([None]), bias=BIAS), "no .npz, .npy or safetensors"),
        (pickle.dumps({"weight": [1.0], "bias": 0.0}), "no .npz, .npy or safetensors"),
        (b"PK\x03\x04 cut off", "no .npz, .npy or safetensors"),
        (b"", "no .npz, .npy or safetensors"),
    ],
)
def test_what_is_no_head_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=f"head mine.*{message}"):
        read_head(data, "mine")


def test_a_cut_file_is_refused() -> None:
    data = npz(weight=WEIGHT, bias=BIAS)
    for length in range(0, len(data), 7):
        with pytest.raises(ModelError):
            read_head(data[:length], "mine")


def test_an_embedding_of_another_size_is_refused() -> None:
    head = read_head(npz(weight=WEIGHT, bias=BIAS), "mine")
    with pytest.raises(ValueError, match=r"\(2, 4\); the head takes \(n, 3\)"):
        head.score(np.zeros((2, 4), dtype=np.float16))


@st.composite
def layered(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """The arrays of a head of 1 to 4 layers, with and without what may be left out."""
    widths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    arrays: dict[str, np.ndarray] = {}
    for number, (before, after) in enumerate(zip(widths, [*widths[1:], 1], strict=True)):
        arrays[f"weight_{number}"] = rng.standard_normal((after, before))
        arrays[f"bias_{number}"] = rng.standard_normal(after)
    if draw(st.booleans()):
        arrays["mean"] = rng.standard_normal(widths[0])
        arrays["variance"] = rng.uniform(0.1, 2, widths[0])
    if draw(st.booleans()):
        arrays["relu"] = rng.integers(0, 2, draw(st.sampled_from([1, max(1, len(widths) - 1)])))
    if draw(st.booleans()):
        arrays["sigmoid"] = np.array(draw(st.integers(0, 1)))
    return arrays


@given(layered(), st.integers(0, 5), st.integers(0, 99))
def test_layers_are_applied_one_after_another(
    arrays: dict[str, np.ndarray], rows: int, seed: int
) -> None:
    dim = arrays["weight_0"].shape[1]
    vectors = np.random.default_rng(seed).standard_normal((rows, dim))
    values = vectors
    if "mean" in arrays:
        values = (values - arrays["mean"]) / arrays["variance"] ** 0.5
    count = sum(name.startswith("weight") for name in arrays)
    relu = np.broadcast_to(arrays.get("relu", 1), max(1, count - 1))
    for number in range(count):
        values = values @ arrays[f"weight_{number}"].T + arrays[f"bias_{number}"]
        if number < count - 1 and relu[number]:
            values = np.where(values > 0, values, 0)
    expected = 1 / (1 + np.exp(-values[:, 0])) if arrays.get("sigmoid") == 1 else values[:, 0]
    scores = read_head(npz(**arrays), "head").score(vectors)
    assert scores.shape == (rows,)
    assert scores == pytest.approx(expected, rel=1e-5, abs=1e-6)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.integers(0, 99))
def test_a_pair_is_the_cosine_after_two_maps(width: int, dim: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, text = rng.standard_normal((2, width, dim))
    pictures, captions = rng.standard_normal((2, rows, dim))
    head = read_head(save({"image": image, "text": text}), "pair")
    assert head.takes_text
    scores = head.score(pictures, captions)
    for number in range(rows):
        one, other = image @ pictures[number], text @ captions[number]
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert scores[number] == pytest.approx(cosine, abs=1e-6)
    with pytest.raises(ValueError, match="takes the vectors of captions too"):
        head.score(pictures)


@given(st.integers(1, 5), st.integers(0, 9), st.integers(0, 99))
def test_a_joint_head_takes_picture_caption_and_their_product(
    dim: int, rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight, mean = rng.standard_normal((2, 3 * dim))
    variance = rng.uniform(0.1, 2, 3 * dim)
    pictures, captions = rng.standard_normal((2, rows, dim))
    arrays = {"weight": weight, "bias": np.ones(1), "mean": mean, "variance": variance}
    head = read_head(npz(**arrays, joint=1), "joint")
    assert head.takes_text
    assert head.dim == dim
    scores = head.score(pictures, captions)
    for number in range(rows):
        x, t = pictures[number], captions[number]
        given = np.array([*x, *t, *(a * b for a, b in zip(x, t, strict=True))])
        expected = weight @ ((given - mean) / variance**0.5) + 1
        assert scores[number] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    with pytest.raises(ValueError, match="takes the vectors of captions too"):
        head.score(pictures)


def test_prompts_give_the_margin_of_the_best_flagged_one() -> None:
    prompts = np.array([[2.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    head = read_head(npz(prompts=prompts, flagged=[0, 1, 1]), "prompts")
    scores = head.score(np.array([[1.0, 0.0], [0.0, 3.0], [0.6, 0.8]]))
    assert scores.tolist() == pytest.approx([0.6 - 1, 1.0, 1 - 0.6])


def test_prompts_may_have_names() -> None:
    prompts = {"prompts": np.array([[2.0, 0.0], [0.0, 1.0]]), "flagged": [0, 1]}
    named = read_head(npz(**prompts, names=["a dog", "a cat é"]), "prompts")
    picture = np.array([[0.6, 0.8]])
    assert named.score(picture) == read_head(npz(**prompts), "prompts").score(picture)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["\ud83d", "a cat"], "half a surrogate pair"),
        ([1.0, 2.0], "names is of float64: it has a text for each prompt"),
        ([b"a dog", b"a cat"], "names is of .*: it has a text for each prompt"),
    ],
)
def test_names_are_texts(names: list[Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        read_head(npz(prompts=np.eye(2), flagged=[0, 1], names=names), "prompts")


@given(st.integers(1, 40), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_the_nearest_prompt_is_that_of_the_largest_cosine(n: int, m: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    prompts = draw.integers(-2, 3, (m, 4)) + 0.25
    head = read_head(
        npz(prompts=prompts, flagged=[1, *[0] * (m - 1)], names=list(map(str, range(m)))), "p"
    )
    assert isinstance(head, PromptHead)
    pictures = draw.standard_normal((n, 4))
    wanted = [max(range(m), key=lambda at: head.prompts[at] @ picture) for picture in pictures]
    assert head.nearest(pictures) == list(map(str, wanted))


def test_of_equally_near_prompts_the_first_is_named() -> None:
    head = read_head(npz(prompts=np.ones((3, 2)), flagged=[0, 1, 1], names=["a", "b", "c"]), "p")
    assert isinstance(head, PromptHead)
    assert head.nearest(np.array([[1.0, 0.0], [0.0, 0.0]])) == ["a", "a"]


PROMPTS = """
- embed: {encoder: demo}
- signals: {names: [subject], heads: {subject: HEAD}, prompts: [subject]}
- quotas: {by: subject, keep: 4}
- write"""


def test_the_nearest_prompt_is_a_signal_of_text(tmp_path: Path) -> None:
    """Chosen by, explained, and read where the head is gone."""
    draw = np.random.default_rng(1)
    dim = encoders.describe("demo").dim or 0
    head = npz(prompts=draw.standard_normal((3, dim)), flagged=[1, 0, 0], names=["a", "b", "c"])
    (tmp_path / "head.npz").write_bytes(head)
    samples = [Sample(f"{n:02}", picture(n), "a word", {}) for n in range(12)]
    write_tar(tmp_path / "0.tar", samples)
    steps = PROMPTS.replace("HEAD", str(tmp_path / "head.npz"))
    run_here(make_plan(tmp_path / "run", tmp_path / "0.tar", steps))
    (tmp_path / "head.npz").unlink()
    run = open_run(str(tmp_path / "run"))
    parsed = read_head(head, "head")
    assert isinstance(parsed, PromptHead)
    rows = sorted(ledger(tmp_path / "run"), key=lambda row: row["key"])
    subjects = [row["subject"] for row in rows]
    assert sorted(subjects) == sorted(parsed.nearest(read(run, []).image))
    assert sum(row["kept"] for row in rows) == 4
    (story,) = stories(run, rows[0]["uid"], 1)[1]
    (told,) = (step["signals"] for step in story["steps"] if step["step"] == "signals")
    assert told == {"subject": subjects[0]}


@pytest.mark.parametrize(
    ("head", "steps", "said"),
    [
        ({"prompts": np.eye(2), "flagged": [0, 1]}, "prompts: [s]", "has no prompts with `names`"),
        ({"weight": np.ones((1, 2)), "bias": [0.0]}, "prompts: [s]", "has no prompts with `names`"),
        ({}, "prompts: [t]", "prompts: `t`: is a signal of `heads` over an embedding"),
    ],
)
def test_a_name_needs_prompts_that_have_some(
    head: dict[str, Any], steps: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "head.npz").write_bytes(npz(**head))
    write_tar(tmp_path / "0.tar", [Sample("0", picture(0), "a word", {})])
    path = tmp_path / "head.npz"
    told = f"\n- embed: {{encoder: demo}}\n- signals: {{names: [s], heads: {{s: {path}}}, {steps}}}\n- write"
    with pytest.raises(JobError, match=said):
        make_plan(tmp_path / "run", tmp_path / "0.tar", told)


def test_a_rule_lets_names_pass_that_the_prompts_have(tmp_path: Path) -> None:
    dim = encoders.describe("demo").dim or 0
    head = npz(prompts=np.eye(2, dim), flagged=[0, 1], names=["bird", "3"])
    (tmp_path / "head.npz").write_bytes(head)
    write_tar(tmp_path / "0.tar", [Sample("0", picture(0), "a word", {})])
    steps = PROMPTS.replace("HEAD", str(tmp_path / "head.npz"))
    rule = "- rules: {subject: {in: [3, WORD]}}\n- write"
    make_plan(
        tmp_path / "run", tmp_path / "0.tar", steps.replace("- write", rule).replace("WORD", "bird")
    )
    with pytest.raises(
        JobError,
        match="rules: subject: in: `brid` is no name that signals gives; did you mean `bird`",
    ):
        make_plan(
            tmp_path / "run",
            tmp_path / "0.tar",
            steps.replace("- write", rule).replace("WORD", "brid"),
        )


def test_the_example_of_the_docs_makes_a_head_of_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "heads.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (job,) = re.findall(
        r"^```yaml\n(- embed: \{encoder: demo\}.*?)^```", page, re.MULTILINE | re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "heads.md", "exec"), names)  # noqa: S102 - the page is ours
    write_tar(tmp_path / "0.tar", [Sample(f"{n}", picture(n), "a word", {}) for n in range(4)])
    run_here(make_plan(tmp_path / "run", tmp_path / "0.tar", f"{job}\n- write"))
    stored = read(open_run(str(tmp_path / "run")), ["birds"])
    head = read_head((tmp_path / "birds.npz").read_bytes(), "birds")
    assert stored.signals[:, 0].astype(np.float32).tolist() == head.score(stored.image).tolist()
    assert names["vectors"].shape == (4, head.dim)


def test_a_file_of_two_prompts_flags_the_second() -> None:
    head = read_head(npy(np.eye(2)), "q16")
    assert head.score(np.array([[1.0, 0.0], [0.0, 1.0]])).tolist() == [-1.0, 1.0]


LAION = Path(__file__).parents[3] / "shared" / "data" / "heads"


@pytest.mark.skipif(not LAION.exists(), reason="needs the converted heads of LAION")
@pytest.mark.parametrize(
    ("name", "dim", "expected"),
    [
        ("laion_nsfw_b32.npz", 512, [8.396e-10, 1.3267e-5, 2.469e-9]),
        ("laion_nsfw_l14.npz", 768, [9.0192e-3, 8.1707e-5, 4.1023e-4]),
    ],
)
def test_the_heads_of_laion_give_their_reference_scores(
    name: str, dim: int, expected: list[float]
) -> None:
    head = read_head((LAION / name).read_bytes(), name)
    assert head.dim == dim
    assert head.score(np.eye(dim)[:3]).tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.skipif(not LAION.exists(), reason="needs the converted heads of LAION")
def test_q16_flags_its_own_second_prompt() -> None:
    data = (LAION / "laion_q16_b32.npy").read_bytes()
    safe, unsafe = read_head(data, "q16").score(np.load(io.BytesIO(data))).tolist()
    assert safe < 0 < unsafe
