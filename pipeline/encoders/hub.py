"""Files of repositories on the Hugging Face hub, or in its cache."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from tamis.pipeline.encoders.base import one_line, quiet
from tamis.schemas.errors import ModelError

CONNECT_SECONDS = 5.0

_REFUSED = ContextVar("refused", default=False)


@contextmanager
def nothing_fetched() -> Iterator[None]:
    """Inside it only what is on this machine is found, and an encoder without its weights is described by its name."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    token = _REFUSED.set(True)
    try:
        yield
    finally:
        _REFUSED.reset(token)
        constants.HF_HUB_OFFLINE = before


def fetches() -> bool:
    """Whether what is not on this machine may be fetched."""
    return not _REFUSED.get()


def fetch(repository: str, *choices: Sequence[str]) -> list[str]:
    """Paths of a repository's files: of each of ``choices`` the first that it has.

    Where the hub does not answer, they have to be in the cache: its client would try again for more than a minute.

    Raises:
        ModelError: one line; there is no such repository or file, or no way to it.
    """
    unreachable = why_unreachable()
    found: list[str] = []
    for names in choices:
        for name in names:
            with suppress(_AbsentError):
                found.append(_download(repository, name, unreachable))
                break
        else:
            files = " or ".join(names)
            raise ModelError(
                f"{unreachable}, and the cache has no {files} of {repository}"
                if unreachable
                else f"{repository} has no file {files}"
            )
    return found


class _AbsentError(Exception):
    """A repository, or the cache, has no such file."""


def _download(repository: str, name: str, unreachable: str | None) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        with quiet():
            local = unreachable is not None
            return str(hf_hub_download(repository, name, local_files_only=local))
    except EntryNotFoundError as error:
        raise _AbsentError(name) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"cannot fetch {repository} ({one_line(error)})") from error


def fetch_some(repository: str, names: Sequence[str]) -> None:
    """Fetch those of a repository's files that it has.

    Raises:
        ModelError: one line; there is no way to it.
    """
    for name in names:
        with suppress(_AbsentError):
            _download(repository, name, why_unreachable())


def why_unreachable() -> str | None:
    """The reason why nothing can be fetched from the hub; None if it answers, or a proxy may reach it."""
    from huggingface_hub import constants

    if not fetches():
        return "nothing is fetched here"
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    address = urlsplit(constants.ENDPOINT)
    if address.scheme in getproxies():
        return None
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), CONNECT_SECONDS).close()
    except OSError as error:
        return f"the hub {address.hostname} does not answer ({error.strerror or error})"
    return None
