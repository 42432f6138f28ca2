"""What a `.json` holds: rows, as lines or as a list; or one object, and the command that makes JSON lines of it."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tamis.pipeline.inputs.suffixes import NAMES
from tamis.pipeline.store import storage

MARK = b"\xef\xbb\xbf"
"""Of UTF-8, in front of a file."""

BLANK = b" \t\r\n"

START_BYTES = 1 << 20
"""In which the first line of JSON lines ends."""

MOST_BYTES = 128 << 20
"""Of a file that is read whole to learn its shape."""

CONVERT = (
    "python -c \"import json; d = json.load(open('{path}')); "
    "open('{made}', 'w').writelines(json.dumps(r) + '\\n' for r in {rows})\""
)

SAID = "it holds one JSON object, not a list of them: make JSON lines of it"

KINDS = {
    dict: "object",
    list: "list",
    str: "text",
    bool: "truth",
    int: "number",
    float: "number",
    type(None): "null",
}

GROUPED = (
    "(lambda g: [g.setdefault(a['image_id'], []).append(a['caption']) for a in d['annotations']] and "
    "[{**i, 'caption': g.get(i['id'])} for i in d['images']])({})"
)
"""The rows of COCO's captions: pictures, each with the captions that name it."""


def is_list(start: bytes) -> bool:
    """Whether a file that begins with these bytes holds a list: of objects, or empty.

    Lines of which the first is damaged may begin with a bracket too.
    """
    bare = start.removeprefix(MARK).lstrip(BLANK)
    return bare[:1] == b"[" and bare[1:].lstrip(BLANK)[:1] in (b"{", b"]", b"")


def holds_rows(start: bytes) -> bool:
    """Whether a file that begins so holds a list, or several lines of which the first is an object."""
    bare = start.removeprefix(MARK).lstrip(BLANK)
    line, _, rest = bare.partition(b"\n")
    if not rest.strip(BLANK):
        return is_list(bare)
    try:
        return is_list(bare) or isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def advice(path: str) -> str | None:
    """The command that makes JSON lines of a file which holds one object; None for one that holds rows."""
    try:
        size = storage.stat(path).size
        (start,) = storage.read_blocks(path, [(0, min(size, START_BYTES))])
    except FileNotFoundError:
        return None
    return None if holds_rows(bytes(start)) else _of_object(path, size)


def _of_object(path: str, size: int) -> str:
    """The command, by a look at the whole file."""
    if not size:
        return "it is empty"
    if size > MOST_BYTES:
        return f"{SAID}, an object a line"
    try:
        whole = json.loads(storage.read_bytes(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return f"it is no JSON: {error}"
    if not isinstance(whole, dict):
        return f"it holds {_kind_of(whole)}, and samples are objects: make JSON lines of it, an object a line"
    rows = rows_in(whole)
    if rows is None:
        return f"{SAID}, an object a line; or name it .jsonl if the object is a sample"
    expression, first = rows
    stem = posixpath.basename(path).rpartition(".")[0]
    folder = _above_pictures(path, first)
    made = storage.join(folder, f"{stem}.jsonl")
    return f"{SAID}: {CONVERT.format(path=storage.redact(path), made=storage.redact(made), rows=expression)}"


def _kind_of(value: Any) -> str:
    """Words for a JSON value that is no object."""
    if not isinstance(value, list):
        return f"one JSON {KINDS[type(value)]}"
    kinds = sorted({KINDS[type(one)] for one in value})
    return f"a JSON list of {' and '.join(f'{kind}s' for kind in kinds)}"


def rows_in(whole: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """(a Python expression for the rows of the object ``d``, the first row); None where it has none."""
    lists = {
        name: value
        for name, value in whole.items()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    }
    if lists:
        return _rows_of_lists(lists)
    values, name = list(whole.values()), next(iter(whole), "")
    if values and all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        first = dict(zip(whole, (value[0] for value in values if value), strict=False))
        return "(dict(zip(d, r)) for r in zip(*d.values()))", first
    if values and all(isinstance(value, dict) for value in values):
        return "({'file_name': k, **v} for k, v in d.items())", {"file_name": name}
    if len(values) > 1 and all(isinstance(value, (str, list)) for value in values):
        return "({'file_name': k, 'text': v} for k, v in d.items())", {"file_name": name}
    return None


def _rows_of_lists(lists: Mapping[str, Sequence[Any]]) -> tuple[str, Mapping[str, Any]]:
    """The rows of the longest list of objects; of COCO's two lists, pictures with their captions."""
    if {"images", "annotations"} <= lists.keys():
        note = lists["annotations"][0]
        if {"image_id", "caption"} <= note.keys():
            return GROUPED, lists["images"][0]
    name = max(lists, key=lambda one: len(lists[one]))
    first = lists[name][0]
    if {"filepath", "filename"} <= first.keys():  # as Karpathy's splits have it
        joined = "{**r, 'file_name': r['filepath'] + '/' + r['filename']}"
        path = f"{first['filepath']}/{first['filename']}"
        return f"({joined} for r in d['{name}'])", {"file_name": path}
    return f"d['{name}']", first


def _above_pictures(path: str, row: Mapping[str, Any]) -> str:
    """The folder below which the picture of a row lies, as near to its list as there is one; else the list's own."""
    own = storage.parent(path)
    name = next((row[name] for name in NAMES if isinstance(row.get(name), str)), None)
    if name is None or "://" in name or name.startswith("/"):
        return own
    for folder in _near(own):
        if storage.exists(storage.join(folder, name)):
            return folder
    return own


def _near(folder: str) -> Iterator[str]:
    """A folder, those in it, the one above, and those in that."""
    above: Sequence[str] = (folder, storage.parent(folder))
    for base in above:
        yield base
        yield from (storage.join(base, name) for name in storage.folders_in(base))
