"""YAML of job files: the core schema of 1.2, where ``on`` is a word, ``1e-3`` a number and ``010`` ten.

ruamel.yaml's own 1.2 reads dates, ``1_000`` and ``0b1`` too, and its error for a repeated key has many lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

__all__ = ["YAMLError", "dump", "flow", "load", "quoted", "with_key"]

PLAIN = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "merge": "<<",
}
"""Type of a scalar without quotes -> its pattern. The first that fits decides; else the scalar is text."""

_TAGS = [(Tag(suffix=f"tag:yaml.org,2002:{name}"), re.compile(PLAIN[name])) for name in PLAIN]


class _Resolver(VersionedResolver):
    processing_version = (1, 2)  # despite a `%YAML` line

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is ScalarNode and implicit[0]:
            tags = (tag for tag, pattern in _TAGS if pattern.fullmatch(value))
            return next(tags, self.DEFAULT_SCALAR_TAG)
        return super().resolve(kind, value, (False, False))


class _Composer(Composer):
    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        names: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in names:
                raise ComposerError(None, None, f"the key `{name}` is repeated", key.start_mark)
            names.add(name)
        return node


def _yaml() -> Any:
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Resolver, yaml.Composer = _Resolver, _Composer
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False
    yaml.width = 100
    return yaml


MAX_DEPTH = 60
"""Lists and maps inside each other; a job has about eight."""


def load(text: str) -> Any:
    """Parse one document; ``YAMLError`` if it is not valid, nests too deep, or has a value unlike its tag."""
    try:
        value = _yaml().load(text)
    except YAMLError:
        raise
    except RecursionError:
        raise _too_deep() from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"[:120]
        raise YAMLError(f"a value that is not what its tag or its form says ({why})") from None
    level, depth = [value], 0
    while level:  # an alias that leads back to itself has no end
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep()
        if not all(map(_is_usable, level)):
            raise YAMLError("half a surrogate pair, which no text has, or a number without bounds")
        distinct = {id(outer): outer for outer in level}  # aliases of aliases are as many as one
        level = [inner for outer in distinct.values() for inner in _inside(outer)]
    return value


def _too_deep() -> YAMLError:
    return YAMLError(f"more than {MAX_DEPTH} lists and maps inside each other")


MAX_BITS = 1024
"""Of a whole number: Python itself refuses to show one of some thousand digits."""


def _is_usable(value: Any) -> bool:
    """False for a string that cannot be written as UTF-8, and for a number that cannot be shown."""
    if isinstance(value, int):
        return value.bit_length() <= MAX_BITS
    return not isinstance(value, str) or not any("\ud800" <= char <= "\udfff" for char in value)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return [*value] if isinstance(value, (list, tuple, set)) else []


def dump(value: Any) -> str:
    """Write ``value`` in block style, keys in their own order."""
    out = StringIO()
    _yaml().dump(value, out)
    return out.getvalue()


def flow(value: Any) -> str:
    """A value on one line, as it may stand in a list or a map."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_key(key)}: {flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str) and _is_plain(value):
        return value
    if isinstance(value, str) and not value.isprintable():
        return quoted(value)
    return json.dumps(value, ensure_ascii=False)


def _key(text: str) -> str:
    return flow(text) if re.fullmatch(r"[\w.-]+", text) else quoted(text)


def quoted(text: str) -> str:
    """A text in quotes, whatever characters it has."""
    if text.isprintable():
        return f"'{text.replace(chr(39), chr(39) * 2)}'"
    escaped = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(escaped)}"'


def _is_plain(text: str) -> bool:
    """Whether a text means itself without quotes, in a line of its own and in a list or a map."""
    try:
        return text.isprintable() and all(
            load(line) == {"a": text} for line in (f"a: {text}", f"{{a: {text}}}")
        )
    except YAMLError:
        return False


def with_key(text: str, key: str, value: int) -> Iterator[str]:
    """One text a map of ``text``, in which that map has ``key: value``; all other bytes stay.

    ruamel.yaml's own round trip reflows lines and loses comments within brackets.
    """
    for node in _maps(_yaml().compose(text)):
        yield _changed(text, node, key, value)


def _maps(node: Any) -> Iterator[MappingNode]:
    """The maps that are not empty, outer before inner."""
    if isinstance(node, MappingNode):
        if node.value:
            yield node
        for _, value in node.value:
            yield from _maps(value)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _maps(item)


def _changed(text: str, node: MappingNode, key: str, value: int) -> str:
    for name, former in node.value:
        if name.value == key:
            return f"{text[: former.start_mark.index]}{value}{text[former.end_mark.index :]}"
    first, last = node.value[0][0], node.value[-1][1]
    if node.flow_style:
        end = last.end_mark.index
        return f"{text[:end]}, {key}: {value}{text[end:]}"
    # Before the first key and as deep: later lines keep their comments.
    start, indent = first.start_mark.index, " " * first.start_mark.column
    return f"{text[:start]}{key}: {value}\n{indent}{text[start:]}"
