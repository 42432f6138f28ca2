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


def test_where_only_ascii_is_printed_json_says_the_same(world: World) -> None:
    arguments = ["explain", "../run", world.uid, "--json"]
    told = []
    for around in ("as usual", "ASCII alone"):
        ended, faults = check(world, arguments, SURROUNDINGS[around])
        assert faults == []
        told.append(ended.out)
    assert told[1].isascii()
    assert not told[0].isascii() or told[0] == told[1]
    assert json.loads(told[0]) == json.loads(told[1])
    assert f"caption é 猫 of {world.uid}" in json.dumps(json.loads(told[1]), ensure_ascii=False)
