"""URLs and hosts in one form, so that two which name the same are the same.

Hosts: lower case, names that are not ASCII in punycode (IDNA 2003, as Python has it), without a dot at the end. URLs:
without scheme if that is http or https, without user, fragment and the scheme's own port; path and query as written.
"""

import re
from urllib.parse import unquote

_URL = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*):)?[\\/]{2}(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
LONGEST = 253
"""Characters of a host, by the rules of DNS; a longer one could have tens of thousands of domains above it."""

_NO_HOST = re.compile("[!-,;-@\\[-^`{-~]")
"""Characters of ASCII that no host has: such an entry is of another form, as `||example.org^` of filter lists."""

_PORTS = {"http": "80", "https": "443"}


def host_of(url: str) -> str:
    """The host that a URL names, "" for none; without a scheme the URL begins with it."""
    return _parts(url)[1]


def same_url(url: str) -> str:
    """The URL in one form, as above; "" if it names no host."""
    scheme, host, port, rest = _parts(url)
    if not host:
        return ""
    place = rest.partition("#")[0]
    place = place if place.startswith("/") else f"/{place}"
    mark = "" if scheme in _PORTS or not scheme else f"{scheme}://"
    return f"{mark}{host}{f':{port}' if port else ''}{place}"


def domain(entry: str) -> str:
    """A listed domain or host as the host of a URL is written, "" for none; `*.` or a dot before it is left out."""
    bare = entry.strip().removeprefix("*").lstrip(".")
    _, host, port, rest = _parts(bare)
    return "" if port or rest not in ("", "/") or _NO_HOST.search(host) else host


def suffixes(host: str) -> list[str]:
    """The host and every domain above it, the longest first; of an address of numbers only itself."""
    labels = host.split(".")
    if ":" in host or labels[-1].isdigit():
        return [host]
    return [".".join(labels[first:]) for first in range(len(labels))]


def _parts(url: str) -> tuple[str, str, str, str]:
    """Scheme (lower case), host, port, and what follows; "" for what is absent or the scheme's own port."""
    text = url.strip()
    found = _URL.fullmatch(text)
    scheme, text = (found["scheme"] or "", found["rest"]) if found else ("", text)
    scheme = scheme.lower()
    end = re.search(r"[/?#\\]", text)
    authority, rest = (text[: end.start()], text[end.start() :]) if end else (text, "")
    name = authority.rpartition("@")[2]
    host, port = name, ""
    numbered = re.fullmatch(r"(\[[^\]]*\]|[^:]*):(\d*)", name)
    if numbered:
        host, port = numbered.groups()
    port = "" if _PORTS.get(scheme or "http") == port else port
    return scheme, _host(host), port, rest.replace("\\", "/", 1) if rest[:1] == "\\" else rest


def _host(name: str) -> str:
    """A host in one form; "" where it has a character that no host has, or too many."""
    if name.isascii() and "%" not in name:
        host = name.lower()
    else:
        host = ".".join(map(_label, re.split("[.\u3002\uff0e\uff61]", unquote(name))))
    host = host.strip("[]").rstrip(".")
    return "" if len(host) > LONGEST or re.search(r"[\s/@\\]", host) else host


def _label(label: str) -> str:
    """A label of a host in punycode; as it is, in lower case, where no rule of IDNA allows it."""
    try:
        return label.encode("idna").decode().lower()
    except UnicodeError:
        return label.lower()
