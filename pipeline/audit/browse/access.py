"""The question who may ask the browser's server: this machine alone, or whoever has the key where it listens to others.

A request whose Host is a name, but not this server's, is refused, so that no other site's page can reach it under a
name of its own; an address in digits is nobody's name.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

KEY = "key"
"""The field of an address, and the beginning of the cookie's name, that hold the key."""

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Address that stands for all of a machine's -> the one by which the machine itself reaches it."""


def family(host: str) -> socket.AddressFamily:
    """The kind of address that a host has.

    Raises:
        OSError: there is no such host.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return found[0][0]


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address in digits; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class Access:
    """Access to a server at ``host``.

    Attributes:
        key: what a request must know; None where only this machine can ask.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        number = _number(host)
        alone = host == "localhost" if number is None else number.is_loopback
        self.key = None if alone else secrets.token_urlsafe(24)

    def address(self, port: int) -> str:
        """The URL to open, key included."""
        host = EVERYWHERE.get(self._host, self._host)
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}/" + (f"?{KEY}={self.key}" if self.key else "")

    def knows(self, header: str | None, port: int) -> bool:
        """Whether a request's Host names this server."""
        try:
            asked = urlsplit(f"//{header}")
            host, at = asked.hostname or "", asked.port
        except ValueError:
            return False
        if at != port:
            return False
        names = {"localhost", self._host.lower()}
        if self.key is None:
            return host in names | {"127.0.0.1"}
        return host in names | {socket.gethostname().lower()} or _number(host) is not None

    def cookie(self, port: int) -> str:
        """The cookie that holds the key, for a browser to keep."""
        return f"{KEY}-{port}={self.key}; Path=/; HttpOnly; SameSite=Strict"

    def opens(self, given: str | None) -> bool:
        """Whether this is the key, or none is asked for."""
        return self.key is None or hmac.compare_digest((given or "").encode(), self.key.encode())

    def opens_by(self, cookies: str | None, port: int) -> bool:
        """Whether a request's cookies have the key, or none is asked for."""
        try:
            found = SimpleCookie(cookies or "").get(f"{KEY}-{port}")
        except CookieError:
            found = None
        return self.opens(None if found is None else found.value)
