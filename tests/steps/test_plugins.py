"""Signals from files of the user's own: computed, known by their sources, and never imported where a run is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.audit.story.story import stories
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.plugins import sources
from tamis.pipeline.runs import plan
from tamis.schemas.errors import JobError, PlugInError
from tamis.schemas.parse import parse_job
from tests.support.plugins import one, steps, write
from tests.support.running import Sample, contents, ledger, make_plan, picture, run_here, write_tar

CAPTIONS = ["sky", "an apple", "a red boat", "rhythm"]

BY_ROW = """
import letters

def vowels(text: str) -> int:
    return sum(letter in letters.VOWELS for letter in text)
"""

BY_COLUMN = """
from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

def area(width: pa.Array, height: pa.Array) -> pa.DoubleArray:
    return pc.multiply(width.cast(pa.float64()), height)
"""

OF_PIXELS = """
import numpy as np

def red(pixels: np.ndarray, key: str) -> float | None:
    return None if key == "3" else pixels[..., 0].mean() / 255
"""


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    samples = [
        Sample(f"{i}", picture(0x330000 * i, 4 + i, 8), text, {}) for i, text in enumerate(CAPTIONS)
    ]
    return write_tar(tmp_path / "in" / "0.tar", samples)


def column(folder: Path, name: str) -> list[Any]:
    return [row[name] for row in ledger(folder / "run")]


def test_functions_of_a_sample_of_columns_and_of_pictures_give_signals(
    tmp_path: Path, tar: Path
) -> None:
    write(tmp_path, rows=BY_ROW, columns=BY_COLUMN, pictures=OF_PIXELS, letters="VOWELS = 'aeiou'")
    named = steps(tmp_path, "rows.vowels", "columns.area", "pictures.red")
    made = make_plan(tmp_path / "run", tar, named + "  - rules: {vowels: {min: 2}}")
    shown = str(preview(made))
    assert "vowels is a function of rows.py" in shown
    assert "packed" not in shown
    run_here(made)
    assert column(tmp_path, "vowels") == [0, 3, 4, 0]
    assert column(tmp_path, "area") == [32.0, 40.0, 48.0, 56.0]
    assert column(tmp_path, "red") == [0.0, 0.2, 0.4, None]
    assert column(tmp_path, "kept") == [False, True, True, False]


def test_a_function_that_says_true_or_false_is_a_rule(tmp_path: Path, tar: Path) -> None:
    write(tmp_path, my="def is_fine(text: str) -> bool:\n    return 'a' in text", letters="")
    rule = steps(tmp_path, "my.is_fine") + "  - rules: {is_fine: {in: [true]}}"
    run_here(make_plan(tmp_path / "run", tar, rule))
    assert column(tmp_path, "kept") == ["a" in text for text in CAPTIONS]
    assert column(tmp_path, "reason") == [
        None if "a" in text else "not_allowed" for text in CAPTIONS
    ]


def test_a_job_reads_back_to_the_same_job_without_the_file(tmp_path: Path, tar: Path) -> None:
    run_here(one(tmp_path, BY_ROW, tar))
    before = contents(tmp_path / "run" / "tables")
    for file in tmp_path.glob("*.py"):
        file.unlink()
    text = (tmp_path / "run" / "job.yaml").read_text()
    assert str(tmp_path / "my.py") not in text
    assert run_here(plan.make(parse_job(text, "job.yaml"))).tasks_run == 0
    assert contents(tmp_path / "run" / "tables") == before


def test_the_run_keeps_a_copy_of_the_sources(tmp_path: Path, tar: Path) -> None:
    run_here(one(tmp_path, BY_ROW, tar))
    (folder,) = (tmp_path / "run" / "plugins").iterdir()
    assert (folder / "my.py").read_text() == BY_ROW
    assert (folder / "letters.py").read_text() == "VOWELS = 'aeiou'"


def test_where_the_file_lies_does_not_matter(tmp_path: Path, tar: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        run_here(one(tmp_path / place, BY_ROW, tar))
    here, there = (
        {
            name: data
            for name, data in contents(tmp_path / place / "run").items()
            if name.partition("/")[0] in {"tables", "ledger", "manifest.json", "plugins"}
        }
        for place in ("here", "there")
    )
    assert here == there


def test_a_changed_source_runs_again_what_stands_below_it(tmp_path: Path, tar: Path) -> None:
    write(tmp_path, other=BY_ROW, letters="VOWELS = 'aeiou'")
    first = f"  - signals: {{name: first, names: [words]}}\n{steps(tmp_path, 'my.vowels')}"

    def run(source: str) -> int:
        write(tmp_path, my=source)
        below = first.replace("signals: [words, ", "signals: [characters, ")
        return run_here(make_plan(tmp_path / "run", tar, below)).tasks_run

    assert run(BY_ROW) > 2
    assert run(BY_ROW) == 0
    assert run(BY_ROW + "# a note\n") == 1  # the values; they come out the same
    assert run(BY_ROW.replace("in letters", "not in letters")) == 2  # and the ledger
    write(tmp_path, letters="VOWELS = 'aeiouy'")
    assert run(BY_ROW) == 2
    assert column(tmp_path, "vowels") == [1, 3, 4, 1]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "def vowels(text: str) -> int:\n    return (",
            r"my.py, line 2: cannot be imported: '\(' was",
        ),
        (
            "\nimport nowhere_at_all",
            "my.py, line 2: cannot be imported: ModuleNotFoundError: No mod",
        ),
        ("raise SystemExit", "my.py, line 1: cannot be imported: SystemExit"),
        (
            "def vowel(text: str) -> int: ...",
            r"my.py: has no function `vowels`; did you mean `vowel`",
        ),
        ("vowels = 3", "my.py: has no function `vowels`"),
        (
            "def vowels(text): ...",
            "say by an annotation what it returns: int, float, bool or str for",
        ),
        ("def vowels(text: str) -> list: ...", "say by an annotation what it returns"),
        ("def vowels(text: str) -> nowhere.Int: ...", "NameError: name 'nowhere'"),
        (
            "def vowels(txt: str) -> int: ...",
            r"no column `txt`; did you mean `text`.*: its parameters",
        ),
        ("def vowels() -> int: ...", "takes nothing: name a parameter text, key"),
        (
            "import pyarrow as pa\ndef vowels(pixels) -> pa.Int64Array: ...",
            "my.py: vowels: pictures come one by one",
        ),
    ],
)
def test_what_is_no_function_of_a_signal_is_refused_before_anything_runs(
    source: str, message: str, tmp_path: Path, tar: Path
) -> None:
    with pytest.raises(PlugInError, match=message) as caught:
        one(tmp_path, source, tar)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{file: gone.py, name: vowels}", "gone.py: cannot be read: No such file or directory"),
        ("{file: my.txt, name: vowels}", "my.txt: is no Python module"),
        ("{file: a/my.py, name: v, with: [b/my.py]}", "a/my.py: cannot be read"),
        ("{file: my.py}", "written {file: my.py, name: vowels}, not {'file': 'my.py'}"),
        ("{file: my.py, name: v, worth: []}", "unknown key `worth`"),
    ],
)
def test_an_entry_that_names_no_file_is_refused(
    entry: str, message: str, tmp_path: Path, tar: Path
) -> None:
    with pytest.raises((PlugInError, JobError)) as caught:
        make_plan(tmp_path / "run", tar, f"  - signals: [words, {entry}]")
    assert message in str(caught.value)


def test_sources_that_are_too_large_for_a_job_are_refused(tmp_path: Path, tar: Path) -> None:
    with pytest.raises(
        PlugInError, match=r"my\.py and what stands in `with` have 70,.*: the limit is 65,536"
    ):
        one(tmp_path, BY_ROW + "#" * 70_000, tar)


def test_a_function_has_no_name_of_a_built_in_signal(tmp_path: Path, tar: Path) -> None:
    with pytest.raises(JobError, match="`digits` is a built-in signal: give the function another"):
        one(tmp_path, "def digits(text: str) -> int: return 1", tar, "digits")


FAILS = "\n\ndef vowels(text: str) -> int:\n    return 1 // (text != 'a red boat')\n"
FAILS_TOGETHER = """
import pyarrow as pa
def vowels(text: pa.Array) -> pa.Int64Array:
    return pa.array([1 // (one != 'a red boat') for one in text.to_pylist()])
"""
TOO_FEW = """
import pyarrow as pa
def vowels(text: pa.Array) -> pa.Int64Array:
    return pa.array([1, 2, 3])
"""
NO_ARRAY = "import pyarrow as pa\ndef vowels(text: pa.Array) -> pa.Int64Array: return [1, 2, 3, 4]"
OTHER_TYPE = """
import pyarrow as pa
def vowels(text: pa.Array) -> pa.Int64Array:
    return pa.array([.5] * len(text))
"""
MANY_ONLY = """
import pyarrow as pa
def vowels(text: pa.Array) -> pa.Int64Array:
    return pa.array([1 // (2 - min(2, len(text)))] * len(text))
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            FAILS,
            "vowels of my.py, line 4: fails on the sample 2 of input/0.tar: ZeroDivisionError: integer",
        ),
        (
            FAILS_TOGETHER,
            "vowels of my.py, line 4: fails on the sample 2 of input/0.tar: ZeroDivision",
        ),
        (
            MANY_ONLY,
            "fails on 4 samples together from the sample 0 of input/0.tar on, on none of them",
        ),
        (TOO_FEW, "vowels of my.py: gives 3 values for 4 samples: it has to give one for each"),
        (NO_ARRAY, "vowels of my.py: gives a list: it has to give an Arrow array"),
        (OTHER_TYPE, "vowels of my.py: gives double, by its annotation it is int64"),
        (
            "def vowels(text: str) -> int: return text",
            "gives 'sky' for the sample 0 of input/0.tar: by its annotation it is int64",
        ),
        (
            "def vowels(pixels, key: str) -> float: return pixels[int(key), 9]",
            "vowels of my.py, line 1: fails on the sample 0 of input/0.tar: IndexError",
        ),
    ],
)
def test_a_function_that_fails_is_one_line_with_the_sample(
    source: str, message: str, tmp_path: Path, tar: Path
) -> None:
    with pytest.raises(PlugInError) as caught:
        run_here(one(tmp_path, source, tar))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["gone", "raises"])
def test_a_run_is_read_without_an_import(file: str, tmp_path: Path, tar: Path) -> None:
    mark = tmp_path / "imported"
    source = f"open({str(mark)!r}, 'w').close()\n{BY_ROW}"
    write(tmp_path, my=source, letters="VOWELS = 'aeiou'")
    named = steps(tmp_path, "my.vowels")
    run_here(make_plan(tmp_path / "run", tar, named + "  - rules: {vowels: {min: 2}}\n  - write"))
    mark.unlink()
    sources.load.cache_clear()
    (tmp_path / "my.py").unlink()
    if file == "raises":
        write(tmp_path, my="raise ValueError")
    run = open_run(str(tmp_path / "run"))
    (story,) = stories(run, "1", 1)[1]
    assert "vowels 3" in str(in_words(story)["steps"])
    assert whatif(run, ["rules.vowels.min=4"]).kept_after == 1
    assert report(run).count(b"vowels") > 1
    assert list(verify(run, Seen(), deep=True)) == []
    assert not mark.exists()


def test_a_run_that_wants_an_import_is_refused(tmp_path: Path, tar: Path) -> None:
    mark = tmp_path / "imported"
    run_here(one(tmp_path, f"open({str(mark)!r}, 'w').close()\n{BY_ROW}", tar))
    mark.unlink()
    sources.load.cache_clear()
    job = tmp_path / "run" / "job.yaml"
    job.write_text(re.sub(r" +type: int64\n", "", job.read_text()))
    with pytest.raises(
        PlugInError, match=r"my.py: vowels: its type does not stand in the run's job"
    ):
        whatif(open_run(str(tmp_path / "run")), ["seed=1"])
    assert not mark.exists()


def install(folder: Path, version: str) -> None:
    """A distribution `my-signals` whose package has BY_COLUMN, as an installer would have left it."""
    info = folder / "site" / "my_signals.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: my-signals\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[tamis.signals]\narea = my_signals_code:area\n")
    (folder / "site" / "my_signals_code.py").write_text(BY_COLUMN)


def test_an_entry_point_of_a_package_is_a_signal_known_by_its_version(
    tmp_path: Path, tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")

    def run(version: str) -> int:
        install(tmp_path, version)
        job = "  - signals: [words, {package: my-signals, name: area}]"
        return run_here(make_plan(tmp_path / "run", tar, job)).tasks_run

    assert run("1.0") > 0
    assert run("1.0") == 0
    assert run("1.1") == 1
    assert column(tmp_path, "area") == [32.0, 40.0, 48.0, 56.0]
    (tmp_path / "site" / "my_signals.dist-info" / "METADATA").unlink()
    assert whatif(open_run(str(tmp_path / "run")), ["seed=1"]).kept_after == 4


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "{package: my-signals, name: aera}",
            "my-signals 1.0: has no entry point `aera` in the group",
        ),
        (
            "{package: not-there-at-all, name: area}",
            "not-there-at-all: is not installed: pip install",
        ),
        (
            "{package: my-signals, file: my.py, name: area}",
            "has a `file`, perhaps with `with`, or a",
        ),
    ],
)
def test_a_package_without_the_signal_is_refused(
    entry: str, message: str, tmp_path: Path, tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "1.0")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises((PlugInError, JobError)) as caught:
        make_plan(tmp_path / "run", tar, f"  - signals: [words, {entry}]")
    assert message in str(caught.value)


def test_helpers_of_two_functions_may_have_one_name(tmp_path: Path, tar: Path) -> None:
    for place, letters in (("a", "aeiou"), ("b", "rhythm")):
        (tmp_path / place).mkdir()
        source = BY_ROW.replace("def vowels", f"def vowels_{place}")
        write(tmp_path / place, my=source, letters=f"VOWELS = {letters!r}")
    entries = ", ".join(
        f"{{file: {tmp_path}/{one}/my.py, name: vowels_{one}, with: [{tmp_path}/{one}/letters.py]}}"
        for one in "ab"
    )
    run_here(make_plan(tmp_path / "run", tar, f"  - signals: [{entries}]"))
    assert column(tmp_path, "vowels_a") == [0, 3, 4, 0]
    assert column(tmp_path, "vowels_b") == [1, 0, 2, 6]
    assert np.array(column(tmp_path, "vowels_b")).sum() == 9
