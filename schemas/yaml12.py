"""YAML as a job file means it: 1.2's core schema, where ``on`` is a word, ``1e-3`` a number and ``010`` ten.

PyYAML reads YAML 1.1, in which ``exact_duplicates: {on: image}`` has the key ``True`` and a key that stands
twice silently counts once.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

OTHERWISE = ("bool", "float", "int", "timestamp")
"""Types that 1.1 recognises in other words than 1.2 does."""

_FLOAT = (
    r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF|nan|NaN|NAN))$"
)


class _Loader(yaml.SafeLoader):
    """The safe loader with 1.2's booleans and numbers, which refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{name}` stands twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader would not read back as text."""


def _integer(_loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(node.value)
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _scalars() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """What plain scalars mean: 1.1's table, less what 1.2 reads otherwise."""
    tags = {f"tag:yaml.org,2002:{name}" for name in OTHERWISE}
    return {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in tags]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = _scalars()
    for _name, _pattern, _first in (
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
        ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
        ("float", _FLOAT, "-+0123456789."),
    ):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(_pattern), list(_first)
        )
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def load(text: str) -> Any:
    """Parse one document. Raises ``yaml.YAMLError``."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader


def dump(value: Any) -> str:
    """Block style, keys in their own order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
