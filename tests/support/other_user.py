"""Commands as another user of this machine: one without a name, a home or any right beyond its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import ROOT
from tests.support.forked_commands import Commands, forked_commands

USER = 54321

BECOME = """
set -e
mask=$(umask); umask 022
hidden=$1 base=$2 room=$3; shift 3
if [[ $hidden ]]; then
  mount -t tmpfs -o mode=755 tamis-test "$room"
  mkdir -p "$room/${base#"$hidden"}"
  mount --bind "$base" "$room/${base#"$hidden"}"
  mount --rbind "$room" "$hidden"
fi
umask "$mask"
exec setpriv --reuid USER --regid USER --clear-groups --inh-caps=-all --bounding-set=-all "$@"
""".replace("USER", str(USER))
"""In a mount namespace of its own: an interpreter below a folder that is root's alone is shown to the user there."""


def _hidden() -> str:
    """The topmost folder on the way to the interpreter that only its owner may enter; empty where there is none."""
    base = Path(os.path.realpath(sys.base_prefix))
    closed = [folder for folder in base.parents if not folder.stat().st_mode & 0o001]
    return str(closed[-1]) if closed else ""


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's are not."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _become(room: Path) -> list[str]:
    """The words before a program by which it is that user's; ``room``: an empty folder."""
    base = os.path.realpath(sys.base_prefix)
    return ["unshare", "--mount", "bash", "-c", BECOME, "become", _hidden(), base, str(room)]


def _environment(home: str) -> dict[str, str]:
    return {**os.environ, "HOME": home, "PYTHONDONTWRITEBYTECODE": "1"}


def run_as_other(
    *command: object, umask: int = 0o022, home: str = "/", folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """A program as that user, in ``folder``."""
    with shared_folder() as room:
        return subprocess.run(
            [*_become(room), *map(str, command)],
            cwd=folder, umask=umask, capture_output=True, text=True, check=False,
            env=_environment(home),
        )  # fmt: skip


@contextmanager
def commands_of_other(*modules: str) -> Iterator[Commands]:
    """Commands of that user."""
    with (
        shared_folder() as room,
        forked_commands(_environment("/"), modules, _become(room)) as commands,
    ):
        yield commands


def why_impossible() -> str:
    """Why no command can be run so; empty where one can."""
    if os.geteuid() != 0:
        return "only root can be another user"
    if not all(map(shutil.which, ("setpriv", "unshare", "bash"))):
        return "setpriv, unshare or bash is missing"
    tried = run_as_other(sys.executable, "-c", "import os, tamis; print(os.getuid())")
    return "" if tried.stdout.strip() == str(USER) else f"not allowed: {tried.stderr[-200:]}"
