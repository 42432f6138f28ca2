"""The reasons why a record is no JSON object, with the mend where it is known."""

from __future__ import annotations

from json import JSONDecodeError

from tamis.pipeline.inputs.other_formats import unmarked

PYTHON = "it is written as Python shows it, in single quotes: write JSON, by json.dumps"

SHOWN = 20
"""Characters of what stands where nothing should."""


def of_line(data: bytes, error: JSONDecodeError) -> str:
    """Of a line of JSON lines."""
    line = data.strip()
    if b"\r" in line:
        return "its lines end in \\r alone: write \\n for it first (tr '\\r' '\\n')"
    if line.startswith(b"{'"):
        return PYTHON
    if line in (b"{", b"["):
        return "its objects stand over several lines: write one a line (jq -c .)"
    if error.msg == "Extra data" and line.startswith(b"{"):
        return _of_rest(error.doc[error.pos :].strip())
    if "control character" in error.msg and error.pos >= len(error.doc.rstrip("\r\n")):
        return "the line ends inside of quotes: close them; in a text the end of a line is written as \\n"
    return unmarked(data) or str(error)


def _of_rest(rest: str) -> str:
    """Of what stands behind the object of a line."""
    if rest == ",":
        return "the line ends in a comma: take it away (sed 's/, *$//'), or write a list, in brackets, as .json"
    if rest.startswith(("{", ",")):
        return "several objects stand in one line: write one a line (jq -c .)"
    return f"behind its object stands {rest[:SHOWN]!r}: take it away"


def of_value(data: bytes, error: JSONDecodeError) -> str:
    """Of a value of a JSON list."""
    if data.startswith(b"{'"):
        return PYTHON
    rest = error.doc[error.pos : error.pos + SHOWN]
    if error.msg == "Extra data" and data.startswith(b"{"):
        if rest.startswith("{"):
            return "no comma stands between two objects of the list: write one"
        return f"behind its object stands {rest!r}: take it away"
    return str(error)
