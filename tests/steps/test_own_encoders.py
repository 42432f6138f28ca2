"""Encoders of the user's own: used like any other, known by their sources, and not imported where a run is read."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.jobs.commands.clean import clean_run
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.reading.pictures import Pictures
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.audit.search.making import made
from tamis.pipeline.audit.search.query import Sought
from tamis.pipeline.audit.search.stored import Embedding
from tamis.pipeline.audit.story.story import stories
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.plugins import sources
from tamis.pipeline.runs import plan
from tamis.pipeline.tables.columns import vectors
from tamis.schemas.errors import JobError, ModelError, PlugInError
from tamis.schemas.parse import parse_job
from tests.conftest import ROOT
from tests.support.own_encoders import DIM, SOURCE, write_encoder, write_weights
from tests.support.running import (
    Sample,
    contents,
    ledger,
    make_plan,
    picture,
    run_here,
    write_tar,
)
from tests.support.tables import table

CAPTIONS = ["sky", "an apple", "a red boat", "rhythm", "12 12", "an apple"]


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    samples = [
        Sample(f"{i}", picture(0x2A1505 * i, 9 + i, 14), text, {})
        for i, text in enumerate(CAPTIONS)
    ]
    return write_tar(tmp_path / "in" / "0.tar", samples)


def job(
    folder: Path, tar: Path, source: str = SOURCE, more: str = "", **settings: str
) -> plan.Plan:
    given = "".join(f", {key}: {value}" for key, value in settings.items())
    steps = f"  - embed: {{encoder: {write_encoder(folder, source)}{given}}}\n{more}"
    return make_plan(folder / "run", tar, steps, part_samples=4)


def embedded(folder: Path, side: str) -> Any:
    return vectors(table(folder / "run", "embed", "vectors")[side]).astype(np.float32)


def test_its_vectors_are_those_of_the_class(tmp_path: Path, tar: Path) -> None:
    made = job(tmp_path, tar)
    assert "packed" not in str(preview(made))
    run_here(made)
    weights = np.load(tmp_path / "tiny.npz")
    counts = np.array([[1 + text.count(letter) for letter in "abcdefgh 12"] for text in CAPTIONS])
    colours = [[0x2A * i, 0x15 * i, 0x05 * i] for i in range(len(CAPTIONS))]
    plain = np.tile(np.array(colours) / 255 - 0.5, 24)
    for side, wanted in (
        ("text", counts @ weights["text"]),
        ("image", plain @ weights["image"]),
    ):
        unit = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
        assert unit.shape == (len(CAPTIONS), DIM)
        np.testing.assert_allclose(embedded(tmp_path, side), unit, atol=2e-3)  # stored as float16
    assert all(-1 <= row["clip_similarity"] <= 1 for row in ledger(tmp_path / "run"))


def test_a_run_is_read_where_the_file_would_raise(tmp_path: Path, tar: Path) -> None:
    rule = "  - rules: {clip_similarity: {min: -0.2}}\n  - write"
    run_here(job(tmp_path, tar, more=rule))
    before = contents(tmp_path / "run" / "tables")
    copies = sorted((tmp_path / "run" / "plugins").rglob("*.py"))
    assert {path.name: path.read_text() for path in copies}["mine.py"] == SOURCE
    for path in [*tmp_path.glob("*.py"), *copies]:
        path.write_text("raise SystemExit('imported')")
    sources.load.cache_clear()
    run = open_run(str(tmp_path / "run"))
    uid = ledger(tmp_path / "run")[0]["uid"]
    assert "clip_similarity" in str(stories(run, uid, 1))
    assert b"clip_similarity" in report(run)
    assert list(verify(run, Seen(), deep=True)) == []
    values = [row["clip_similarity"] for row in ledger(tmp_path / "run")]
    kept = whatif(run, ["rules.clip_similarity.min=0"]).kept_after
    assert kept == sum(value >= 0 for value in values)
    with pytest.raises(JobError, match=r"is code of its own, own:Tiny@mine.py#.*give --uid"):
        made(Embedding(run), Sought(text="a boat"), "image")
    text = (tmp_path / "run" / "job.yaml").read_text()
    assert run_here(plan.make(parse_job(text, "job.yaml"))).tasks_run == 0
    assert contents(tmp_path / "run" / "tables") == before


def test_code_that_a_stored_job_holds_is_not_imported_by_who_reads_it(
    tmp_path: Path, tar: Path
) -> None:
    """A run may be anybody's: where its job does not say what the code would, it is not read."""
    run_here(job(tmp_path, tar))
    stored, bait = tmp_path / "run" / "job.yaml", tmp_path / "bait"
    evil = f"open({str(bait)!r}, 'w')\n{SOURCE}"
    (packed,) = re.findall(r"packed:\s+(\S+)", stored.read_text())
    code = sources.pack({**sources.unpack(packed), "mine.py": evil})
    told = stored.read_text().replace(packed, code)
    untold = re.sub(r" +dim: 12\n(.*\n)+?(?= +as: embed)", "", told)
    for text, is_read in ((told, True), (untold, False)):
        stored.write_text(text)
        sources.load.cache_clear()
        run = open_run(str(tmp_path / "run"))
        assert bool(Pictures(run).encoded([0])) == is_read
        assert [fault.path for fault in verify(run, Seen(), deep=True)] == ["job.yaml"] * (
            not is_read
        )
        with nullcontext() if is_read else pytest.raises(PlugInError, match="imports nothing"):
            clean_run(run.root, yes=False, json=True)
        assert not bait.exists()


def test_where_the_files_lie_does_not_matter(tmp_path: Path, tar: Path) -> None:
    found = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        run_here(job(tmp_path / place, tar))
        found.append(contents(tmp_path / place / "run" / "tables"))
    assert found[0] == found[1]


def test_other_code_or_other_weights_embed_again(tmp_path: Path, tar: Path) -> None:
    first = "  - rules: {clip_similarity: {min: -1}}"
    run_here(job(tmp_path, tar, more=first))
    assert run_here(job(tmp_path, tar, more=first)).tasks_run == 0
    before = embedded(tmp_path, "image")
    run_here(job(tmp_path, tar, SOURCE.replace("- 0.5", "- 0.25"), first))
    changed = embedded(tmp_path, "image")
    assert not np.allclose(before, changed)
    text = SOURCE.replace("- 0.5", "- 0.25")
    made = job(tmp_path, tar, text, first)
    write_weights(tmp_path / "tiny.npz", seed=4)
    assert run_here(made).tasks_run > 0
    assert not np.allclose(embedded(tmp_path, "image"), changed)


def test_captions_of_a_target_are_embedded_by_it(tmp_path: Path, tar: Path) -> None:
    (tmp_path / "wanted.txt").write_text("12 12\n")
    more = f"  - target: {{path: {tmp_path}/wanted.txt, keep: 2, side: text}}"
    run_here(job(tmp_path, tar, more=more))
    rows = ledger(tmp_path / "run")
    best = max(rows, key=lambda row: row["target"])
    assert (CAPTIONS[int(best["key"])], best["kept"]) == ("12 12", True)
    assert best["target"] == pytest.approx(1, abs=1e-3)


def test_an_entry_point_of_a_package_is_an_encoder(
    tmp_path: Path, tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "my_encoders.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-encoders\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[tamis.encoders]\ntiny = my_encoders_code:Tiny\n")
    write_encoder(tmp_path)
    (tmp_path / "site" / "my_encoders_code.py").write_text(SOURCE)
    (tmp_path / "site" / "letters.py").write_text((tmp_path / "letters.py").read_text())
    monkeypatch.syspath_prepend(tmp_path / "site")
    entry = f"{{package: my-encoders, name: tiny, weights: {tmp_path}/tiny.npz}}"
    run_here(make_plan(tmp_path / "run", tar, f"  - embed: {{encoder: {entry}}}"))
    packaged = embedded(tmp_path, "image")
    assert "own:tiny@my-encoders#1.5" in (tmp_path / "run" / "job.yaml").read_text()
    (tmp_path / "file").mkdir()
    run_here(job(tmp_path / "file", tar))
    np.testing.assert_array_equal(packaged, embedded(tmp_path / "file", "image"))


WRONG = {
    "dim = 12": ("dim = 'many'", "`dim` is 'many': say how many numbers"),
    "size = (16, 24)": ("size = 0", "`size` is 0: say to how many pixels"),
    'resize = "squash"': ("resize = 3", "`resize` is 3: set one of shortest, longest, squash"),
    "def pictures": ("def picture", "has no method `pictures"),
    "weights: str, precision": ("weights: str, layers", "`__init__` takes `layers`: it may take"),
    "kind = np.float32 if": (
        "raise OSError('no file')\n        kind = np.float32 if",
        "mine.py, line 13: cannot be made: OSError: no file",
    ),
    "class Tiny:": ("def Tiny():\n    return 1\n\nclass Other:", "is no class: an encoder is"),
    '@ self.maps["image"]': ('@ self.maps["image"][:, 1:]', "(8, 11) for 8 pictures: it has to"),
    "- 0.5) @": ("- cells.max(axis=0).reshape(1, -1) / 255) @", "another vector beside other rows"),
    "return counts": ("return [text for text in texts]\n        return counts", "gives <U9 (8,)"),
}


@pytest.mark.parametrize("part", WRONG)
def test_what_is_no_encoder_is_one_line(part: str, tmp_path: Path, tar: Path) -> None:
    wrong, message = WRONG[part]
    assert part in SOURCE
    with pytest.raises(PlugInError) as caught:
        run_here(job(tmp_path, tar, SOURCE.replace(part, wrong)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            SOURCE.replace(
                "counts = np", "assert not any('y' in t for t in texts), 'a y'\n        counts = np"
            ),
            "Tiny of mine.py, line 22: fails on the sample 0 of input/0.tar: AssertionError: a y",
        ),
        (
            SOURCE.replace(
                "cells = ", "assert pixels[..., 0].max() < 0x30 * 2, 'red'\n        cells = "
            ),
            "Tiny of mine.py, line 18: fails on the sample 3 of input/0.tar: AssertionError: red",
        ),
    ],
    ids=["caption", "picture"],
)
def test_an_error_is_one_line_with_the_sample(
    source: str, message: str, tmp_path: Path, tar: Path
) -> None:
    source = source.replace("'y' in t", "'sky' == t").replace(
        " < 0x30 * 2", " <= 0x2A * 2 or pixels.std() > 60"
    )
    with pytest.raises(PlugInError) as caught:
        run_here(job(tmp_path, tar, source))
    assert str(caught.value) == message


def test_what_it_does_not_take_is_refused_before_anything_runs(tmp_path: Path, tar: Path) -> None:
    written = write_encoder(tmp_path)
    bare = written.partition(", weights")[0] + "}"
    for encoder, message in (
        (bare, "Tiny of mine.py: takes `weights`: name the file"),
        (f"{written[:-1]}.gone}}", "cannot read the weights"),
    ):
        with pytest.raises(ModelError, match=message):
            make_plan(tmp_path / "run", tar, f"  - embed: {{encoder: {encoder}}}")
    source = SOURCE.replace(", precision: str", "").replace('precision == "fp32"', "True")
    with pytest.raises(
        ModelError, match=r"Tiny of mine.py: takes no `precision`: set fp32, not bf16"
    ):
        job(tmp_path, tar, source, precision="bf16")
    with pytest.raises(JobError, match=r"a class of your own is written {file: my.py, name: Mine}"):
        make_plan(tmp_path / "run", tar, '  - embed: {encoder: "own:Tiny@mine.py"}')


def test_the_documented_class_is_an_encoder(
    tmp_path: Path, tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "encoders.md").read_text()
    ((name, source),) = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL)
    (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    (steps,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    run_here(make_plan(tmp_path / "run", tar, steps))
    plain = np.array([[0x2A * i, 0x15 * i, 0x05 * i] * 16 for i in range(len(CAPTIONS))]) - 127.5
    unit = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(embedded(tmp_path, "image"), unit, atol=1e-3)
