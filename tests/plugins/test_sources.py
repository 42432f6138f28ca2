"""Files of a user's own are imported as Python imports files, whatever they define and in any order."""

from __future__ import annotations

import copy
import pickle
import sys
import typing
from itertools import permutations

import pytest

from tamis.pipeline.plugins import sources
from tamis.schemas.errors import PlugInError

DEFINED = {
    "a dataclass": "from dataclasses import dataclass\n@dataclass\nclass One:\n    x: int",
    "a frozen dataclass of its own kind": "from dataclasses import dataclass\n"
    "@dataclass(frozen=True, slots=True)\nclass One:\n    x: int\n    next: One | None = None",
    "a named tuple": "from typing import NamedTuple\nclass One(NamedTuple):\n    x: int",
    "an enum": "from enum import IntEnum\nclass One(IntEnum):\n    A = 3",
    "a flag": "from enum import Flag, auto\nclass One(Flag):\n    A = auto()\n    B = auto()",
    "a named tuple that a function makes": "from collections import namedtuple\nOne = namedtuple('One', 'x')",
    "an enum that a function makes": "from enum import Enum\nOne = Enum('One', 'A B', start=3)",
    "a typed dictionary": "from typing import TypedDict\nclass One(TypedDict):\n    x: int",
}


MEND = ": name its file in `with`, or install it on all machines"


def load(name: str = "f", **files: str) -> typing.Any:
    """A function of the first file, the others beside it."""
    return sources.load(sources.pack({f"{file}.py": text for file, text in files.items()}), name)


@pytest.mark.parametrize("where", ["its own file", "a helper"])
@pytest.mark.parametrize("defined", DEFINED)
def test_a_file_may_define_any_class(defined: str, where: str) -> None:
    text = f"from __future__ import annotations\n{DEFINED[defined]}\n"
    if where == "a helper":
        made = load(my="from beside import One\ndef f(): return One, One.__module__", beside=text)
    else:
        made = load(my=f"{text}\ndef f(): return One, One.__module__")
    kind, module = made()
    for name, hint in typing.get_type_hints(kind).items():
        assert not isinstance(hint, str), name
    if "typed" not in defined:
        one = kind(3) if defined != "a flag" else kind.A
        assert pickle.loads(pickle.dumps(one)) == one
        assert copy.deepcopy(one) == one
    assert module in sys.modules


def test_functions_of_one_file_share_its_classes() -> None:
    text = "class One: pass\ndef f(): return One\ndef g(): return One()"
    assert isinstance(load("g", my=text)(), load("f", my=text)())


@pytest.mark.parametrize("order", [*permutations(["alpha", "beta", "gamma"])])
def test_helpers_may_stand_in_any_order(order: tuple[str, ...]) -> None:
    files = {
        "alpha": "A = 1",
        "beta": "from alpha import A\nB = A + 1",
        "gamma": "import alpha, beta\nC = alpha.A + beta.B",
    }
    main = "from gamma import *\ndef f():\n    import beta as other\n    return C + other.B"
    assert load(my=main, **{name: files[name] for name in order})() == 5


def test_each_helper_is_executed_once_and_only_where_it_is_imported() -> None:
    main = "import alpha, beta\ndef f(): return alpha.made is beta.alpha.made"
    files = {"beta": "import alpha", "alpha": "made = object()", "unused": "raise ValueError"}
    assert load(my=main, **files)()


def test_a_file_that_shares_its_name_with_what_is_installed_hides_nothing_from_others() -> None:
    assert load(my="import json\ndef f(): return json.WORD", json="WORD = 'own'")() == "own"
    assert load(json="import json\ndef f(): return json.dumps(1)")() == "1"
    assert load(my="import json\ndef f(): return json.dumps(2)")() == "2"


def test_files_that_import_each_other_may_where_python_lets_them() -> None:
    files = {"alpha": "import beta\nA = 1", "beta": "import alpha\ndef b(): return alpha.A"}
    assert load(my="import alpha\ndef f(): return alpha.beta.b()", **files)() == 1


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"alpha": "from beta import B\nA = 1", "beta": "from alpha import A\nB = 1"},
            "beta.py, line 1: ImportError: alpha.py has no `A` yet: the two files import each other",
        ),
        (
            {"alpha": "from my import f", "beta": ""},
            "alpha.py, line 1: ImportError: my.py has no `f` yet: the two files import each other",
        ),
        (
            {"alpha": "from beta import C", "beta": "B = 1"},
            "alpha.py, line 1: ImportError: beta.py has no `C`",
        ),
        (
            {"alpha": "import bta", "beta": ""},
            f"alpha.py, line 1: ModuleNotFoundError: No module named 'bta'{MEND}",
        ),
        ({"alpha": "x =", "beta": ""}, "alpha.py, line 1: invalid syntax"),
    ],
)
def test_what_cannot_be_imported_is_one_line_of_the_file_at_fault(
    files: dict[str, str], said: str
) -> None:
    for _ in range(2):  # nothing half made is left behind
        with pytest.raises(PlugInError) as caught:
            load(my="import alpha\ndef f(): pass", **files)
        assert str(caught.value).replace(": cannot be imported", "") == said
