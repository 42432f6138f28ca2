"""A finished run that is at work again: at each moment its readers tell what it was before, or that it is changing."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.server import Server
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.schemas.errors import StateError, TamisError
from tamis.schemas.events import Event, TaskDone
from tests.support.running import (
    Sample,
    contents,
    make_plan,
    materialize,
    picture,
    run_here,
    write_tar,
)

STEPS = "- signals: [words]\n- rules: {words: {min: WORDS}}\n- write: {samples_per_shard: 4}"
RESULT = ("shards", "ledger", "ledger_index", "subset.npy")


def do(folder: Path, words: int, observers: tuple[object, ...] = ()) -> None:
    steps = STEPS.replace("WORDS", str(words))
    made = make_plan(folder / "run", f"{folder}/in/*.tar", steps, part_samples=4)
    run_here(made, observers)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tars, and a finished run over them."""
    for number in range(2):
        samples = [
            Sample(f"k{number}{i}", picture(number * 99 + i), "word " * (1 + i % 4), {})
            for i in range(9)
        ]
        write_tar(tmp_path / f"in/{number}.tar", samples)
    do(tmp_path, 2)
    return tmp_path


def result(run: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(run).items() if name.startswith(RESULT)}


def test_a_page_that_is_open_meanwhile(folder: Path) -> None:
    server = Server(Browser(open_run(str(folder / "run")), in_words))
    questions = ("/api/samples", "/api/run", "/api/groups")
    before = {question: server.answer(question, {}) for question in questions}
    said: Counter[str] = Counter()

    def ask(event: Event) -> None:
        if not isinstance(event, TaskDone):
            return
        for question, due in before.items():
            try:
                answer = server.answer(question, {})
            except StateError as error:
                said[str(error).partition(": open it")[0].rpartition(" may be ")[2]] += 1
            else:
                assert answer == due
                said["answered"] += 1

    try:
        do(folder, 3, (ask,))
        assert set(said) == {"answered", "half old and half new"}
        with pytest.raises(StateError, match="done again"):
            server.answer("/api/samples", {})
    finally:
        server.end()


def test_a_set_that_is_made_from_it_meanwhile(folder: Path) -> None:
    """Materialized from stored tables, it has the bytes that it would have had before, or an error says why not."""
    materialize(open_run(str(folder / "run")), ["rules.words.min=4"], folder / "due")
    due, said, made = result(folder / "due"), list[str](), 0

    def ask(event: Event) -> None:
        nonlocal made
        if not isinstance(event, TaskDone):
            return
        shutil.rmtree(folder / "made", ignore_errors=True)
        try:
            base = open_run(str(folder / "run"))
            materialize(base, ["rules.words.min=4"], folder / "made")
        except TamisError as error:
            said.append(str(error))
        else:
            assert result(folder / "made") == due
            made += 1

    do(folder, 3, (ask,))
    assert made
    assert said
    assert all("the run is not finished" in line for line in said), said
