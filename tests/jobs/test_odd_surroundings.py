"""Whatever surrounds a command, it ends in order: no traceback, no bug, nothing half written, nothing touched."""

from __future__ import annotations

import json

import pytest

from tests.support.command_fuzz import World, check
from tests.support.surroundings import SURROUNDINGS

COMMANDS = {
    "help": ["--help"],
    "plan": ["plan", "../job.yaml"],
    "audit": ["audit", "../run"],
    "json": ["audit", "../run", "--json"],
    "explain": ["explain", "../run", "UID"],
    "report": ["report", "../run", "--output", "page.html"],
    "verify": ["verify", "../run"],
    "search": ["search", "../run", "--uid", "UID"],
    "tag": ["tag", "../run", "list.txt"],
    "export": ["export", "../run", "--as", "csv", "--output", "table"],
    "init": ["init", "-"],
    "wrong": ["verify", "nosuch"],
    "usage": ["nosuch"],
}


UNSEEN = {"not one line of error"}

MAY_BE = {
    "standard error is closed": UNSEEN,
    "all three are closed": UNSEEN,
    "standard error is full": UNSEEN,
    "nobody reads standard error": UNSEEN,
    "standard output is full": {
        "half an output"
    },  # the file is whole: what is lost is the line that tells of it
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.made(tmp_path_factory.mktemp("world"))


@pytest.mark.slow
@pytest.mark.parametrize("around", SURROUNDINGS)
def test_a_command_ends_in_order(around: str, world: World) -> None:
    for name, words in COMMANDS.items():
        arguments = [word.replace("UID", world.uid) for word in words]
        ended, faults = check(world, arguments, SURROUNDINGS[around])
        assert set(faults) <= MAY_BE.get(around, set()), (name, faults, ended)


@pytest.mark.slow
def test_a_letter_that_cannot_be_printed_is_escaped_as_json_has_it(world: World) -> None:
    arguments = ["explain", "../run", world.uid, "--json"]
    ended, faults = check(world, arguments, SURROUNDINGS["Latin letters alone"])
    assert faults == []
    assert f" \\u732b of {world.uid}" in ended.out
    read = json.loads(ended.out.replace("\\xe9", "\u00e9"))
    assert read["samples"][0]["text"] == f"caption \u00e9 \u732b of {world.uid}"
