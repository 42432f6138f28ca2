"""Functions of the user's own that are hostile, or settings that belong to none: one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.schemas.errors import JobError, PlugInError
from tests.support.plugins import one, steps, write
from tests.support.running import Sample, make_plan, picture, run_here, write_tar


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    samples = [Sample(f"{i}", picture(i, 8, 8), "a red boat", {}) for i in range(4)]
    return write_tar(tmp_path / "in" / "0.tar", samples)


HOSTILE = {
    "an error without words": "class E(Exception):\n    def __str__(self): raise RuntimeError\n"
    "def f(text: str) -> int:\n    raise E",
    "a value without words": "class V:\n    def __str__(self): raise RuntimeError\n    __repr__ = __str__\n"
    "def f(text: str) -> int:\n    return V()",
    "an end of all": "def f(text: str) -> int:\n    raise BaseException('x')",
    "an end of a generator": "def f(text: str) -> int:\n    raise GeneratorExit",
    "an exit": "def f(text: str) -> int:\n    raise SystemExit(0)",
    "commands for a terminal": "def f(text: str) -> int:\n    raise ValueError('\\x1b[31m\\n\\n')",
    "an end of all at the import": "raise BaseException('x')",
    "no text": "x = 1\0",
    "an annotation that fails": "from __future__ import annotations\n"
    "def f(text: str) -> 1 / 0:\n    return 1",
    "an annotation that is no Python": "def f(text: 'int[') -> int:\n    return 1",
    "an annotation without a hash": "def f(text: str) -> [int]:\n    return [1]",
    "a list": "def f(text: str) -> list[int]:\n    return [1]",
    "a signature that fails": "class F:\n    __signature__ = property(lambda self: 1 / 0)\n"
    "    def __call__(self, text: str) -> int: return 1\nf = F()",
    "names that fail": "def __getattr__(name):\n    raise RuntimeError(name)",
    "a class that fails": "class F:\n    def __init__(self): raise ValueError('no')\nf = F()",
    "a fraction": "def f(text: str) -> int:\n    return 2.5",
    "a value that fails": "class V(int):\n    def __ne__(self, other): raise RuntimeError\n"
    "def f(text: str) -> int:\n    return V(1)",
    "other pixels": "def f(pixels) -> int:\n    pixels[:] = 0\n    return 1",
    "a file beside it": "import brother\ndef f(text: str) -> int:\n    return 1",
    "async": "async def f(text: str) -> int:\n    return 1",
    "a generator": "def f(text: str) -> int:\n    yield 1",
    "an argument by name": "def f(*, text: str) -> int:\n    return 1",
    "any arguments": "def f(*text: str) -> int:\n    return 1",
    "half a pair": "def f(text: str) -> str:\n    return '\\ud800'",
    "bytes that are no text": "import pyarrow as pa\n"
    "def f(text: pa.Array) -> pa.StringArray:\n"
    "    ends = pa.array(range(0, 2 * len(text) + 2, 2), pa.int32()).buffers()[1]\n"
    "    raw = pa.py_buffer(b'\\xff\\xfe' * len(text))\n"
    "    return pa.Array.from_buffers(pa.string(), len(text), [None, ends, raw])",
    "ends beyond the bytes": "import pyarrow as pa\n"
    "def f(text: pa.Array) -> pa.StringArray:\n"
    "    ends = pa.array([0] + [10**9] * len(text), pa.int32()).buffers()[1]\n"
    "    return pa.Array.from_buffers(pa.string(), len(text), [None, ends, pa.py_buffer(b'ab')])",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_function_is_one_line(kind: str, tmp_path: Path, tar: Path) -> None:
    with pytest.raises(PlugInError) as told:
        run_here(one(tmp_path, HOSTILE[kind], tar, "f"))
    assert "\n" not in str(told.value)
    assert "None" not in str(told.value)


def test_what_a_file_prints_is_no_output_of_a_command(
    tmp_path: Path, tar: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one(tmp_path, "print('words')\ndef f(text: str) -> int:\n    return 1", tar, "f")
    assert capsys.readouterr() == ("", "words\n")


def test_a_file_beside_it_takes_no_module_from_others(tmp_path: Path, tar: Path) -> None:
    write(tmp_path, my="import random\ndef f(text: str) -> int:\n    return 1", random="")
    step = f"  - signals: [{{file: {tmp_path}/my.py, name: f, with: [{tmp_path}/random.py]}}]"
    with pytest.raises(PlugInError, match=r"random.py: Python has a module of that name"):
        make_plan(tmp_path / "run", tar, step)


@pytest.mark.parametrize(
    "plugin_settings",
    [
        "packed: '!!!', type: int64, reads: [text]",
        "packed: W10=, type: int64, reads: [text]",
        "packed: W10=, type: nope, reads: [text]",
        "packed: W10=, type: int64, reads: [nope]",
        "packed: W10=, type: int64",
        "packed: W1siYSIsICJiIiwgImMiXV0=, type: int64, reads: [text]",
        "package: pip, entry: 'os:system', version: '1', type: nope, reads: [text]",
    ],
)
def test_settings_that_no_signature_says_are_refused(
    plugin_settings: str, tmp_path: Path, tar: Path
) -> None:
    file = "" if "package" in plugin_settings else "file: my.py, "
    step = f"  - signals: {{names: [f], plugins: {{f: {{{file}{plugin_settings}, by_row: true}}}}}}"
    with pytest.raises(PlugInError) as told:
        run_here(make_plan(tmp_path / "run", tar, step))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["uid", "TEXT", "cluster", "kept", "row", "WORDS", "shard_key"])
@pytest.mark.parametrize(
    "step", ["tiers: {signal: words, cuts: [3], names: [a, b]", "score: {signal: words, keep: 0.5"]
)
def test_no_signal_takes_the_name_of_a_column_of_the_ledger(
    name: str, step: str, tmp_path: Path, tar: Path
) -> None:
    plain = f"  - signals: [words]\n  - {step}, name: {name.lower()}}}\n"
    if step.startswith("tiers"):
        with pytest.raises(JobError, match=r"already made|called so|is text"):
            make_plan(tmp_path / "run", tar, plain)
    else:  # it makes none
        assert make_plan(tmp_path / "run", tar, plain).steps
    own = f"def {name}(text: str) -> int:\n    return 1"
    write(tmp_path, my=own, letters="")
    both = f"  - signals: {{name: first, names: [words]}}\n{steps(tmp_path, f'my.{name}').replace('words, ', '')}"
    with pytest.raises(JobError, match=r"column of every ledger|already made|called so|built-in"):
        make_plan(tmp_path / "run", tar, both)
