"""A fuzzer of commands: arguments drawn by a seed, and what must hold of each command that is called so.

``python -m tests.support.command_fuzz CASES`` tries more than the tests do.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from tamis.jobs import commands
from tamis.jobs.cli.app import main
from tamis.pipeline.audit import reading, report
from tamis.schemas import registry
from tests.support.command_values import (
    ADDRESSES,
    CONDITIONS,
    NUMBERS,
    OUTPUTS,
    SECRET,
    TEXTS,
    write_files,
)
from tests.support.embedded import blobs, run_steps, write_input
from tests.support.surroundings import Prepare

SECONDS = 60
"""A command that takes longer hangs."""

MEMORY = 12 << 30
"""Bytes of address space that a command may have."""

STEPS = """- signals: [words, characters]
- rules: {words: {min: 1}}
- near_duplicates: {}
- density: {keep: 0.7, clusters: 3, neighbours: 2}
- index: {}
- write: {samples_per_shard: 40}"""

ANSWERS = {"budget.json", "evaluation.json", "evaluation.html", "report.html"}
"""Files that commands put into a finished run."""

WORK = {"budget", "evaluate", "fit", "materialize", "run", "search", "tune"}
"""Commands that tell how far they are, on lines of standard error."""

COMMANDS = (
    "fit head RUN --as NEW.safetensors --trusted RUN2 [--kind TEXT] [--by TEXT] [--most NUMBER] [--seed NUMBER]",
    "fit head RUN --as NEW.safetensors --where SQL [--by TEXT] [--most NUMBER]",
    "fit head RUN --as NEW.safetensors --kind mix --signals TEXT --where SQL",
    "fit head ANY --as OUT --trusted ANY",
    "tag RUN NEW [--where SQL] [--among TEXT]",
    "tag RUN OUT",
    "tag ANY NEW",
    "whatif RUN --set SETTING [-n NUMBER]",
    "whatif RUN --set SETTING --set SETTING",
    "whatif ANY --set SETTING",
    "search RUN --vector FILE [-n NUMBER] [--above NUMBER] [--dedup NUMBER]",
    "search RUN --uid TEXT [--side TEXT] [--probes NUMBER]",
    "search RUN --uid UID --where SQL [--among TEXT] [--embedding TEXT]",
    "search RUN --uid UID --as OUT --local [-n NUMBER]",
    "search RUN --uid UID --html OUT [-n NUMBER]",
    "search RUN --like-run ANY",
    "search RUN --like-run RUN2 [-n NUMBER] [--above NUMBER]",
    "search RUN --image FILE --encoder TEXT",
    "search RUN --text TEXT [--encoder TEXT]",
    "contains RUN ANY [--by TEXT] [--on TEXT]",
    "contains ANY ANY",
    "contains RUN RUN2 [--sample NUMBER] [-n NUMBER] [--on TEXT]",
    "budget RUN --seen NUMBER [--law FILE] [--signal TEXT]",
    "budget RUN --seen NUMBER --set SETTING",
    "budget RUN --seen 1e5 --fit --signal TEXT [--buckets NUMBER] [--floor NUMBER] [--seeds NUMBER] [--holdout NUMBER]",
    "evaluate RUN --budgets NUMBER --seeds NUMBER --steps NUMBER",
    "evaluate RUN --against TEXT --seeds 1 --steps 2 --budgets 0.5",
    "evaluate RUN --holdout ANY [--seeds NUMBER]",
    "evaluate RUN --holdout-by SETTING",
    "evaluate RUN --classes TEXT --seeds 1 --steps 2",
    "evaluate RUN --student TEXT [--distil NUMBER]",
    "evaluate RUN --target ANY",
    "evaluate RUN --mismatch NUMBER --seeds 1 --steps 2 --budgets 0.5",
    "export RUN --as LAYOUT --output OUT [--among TEXT]",
    "export RUN --as TEXT --output NEW",
    "export ANY --as csv --output NEW",
    "export RUN --as LAYOUT --output NEW [--embedding TEXT]",
    "plan JOB --set index.NAME=NUMBER",
    "plan JOB --set exclude.list=ANY --set exclude.on=ON",
    "plan JOB --set SETTING [--output OUT]",
    "run JOB --local --cpus 1 --set exclude.list=FILE --set exclude.on=ON",
    "run JOB --local --cpus 1 --set SETTING",
    "plan ANY [--set SETTING]",
    "plan JOB --input ANY",
    "plan JOB --cluster TEXT --here",
    "tune JOB --sizes NUMBER --dry-run",
    "audit RUN [--by TEXT] [-n NUMBER]",
    "audit RUN --sql SQL",
    "audit RUN --sample NUMBER",
    "audit RUN --edges TEXT",
    "audit RUN --html OUT",
    "explain RUN TEXT [-n NUMBER] [--html OUT]",
    "explain RUN UID --html OUT",
    "report RUN --output OUT",
    "diff RUN ANY [-n NUMBER]",
    "verify ANY [--deep]",
    "clean ANY",
    "materialize RUN --as OUT --local --set SETTING",
    "init OUT",
    "init NEW.yaml --input ANY",
    "init NEW.yaml --preset TEXT",
    "deploy kubernetes JOB --image TEXT",
    "browse FILE --port NUMBER",
    "TEXT TEXT",
)
"""Words in capitals are drawn; what stands in brackets is there or not."""

PATHS = (
    "rules.words.min",
    "density.keep",
    "density.clusters",
    "near_duplicates.similarity",
    "seed",
    "name",
    "output",
    "input",
    "steps",
    "part_samples",
    "nosuch.x",
    "index.lists",
    "write.samples_per_shard",
    "exclude.within",
    "resources.memory",
    "rules",
    "limits",
)


SOUND = 0.4
"""How often a value is one that makes sense, so that commands get on to the next."""

SOUND_VALUES: Mapping[str, Sequence[str]] = {
    "NUMBER": ["1", "3", "0.5", "0.9", "20"],
    "SQL": ["words > 1", "kept", "density is not null", "not kept"],
    "SETTING": ["density.keep=0.5", "rules.words.min=2", "density.keep=30", "seed=3"],
    "FILE": ["../odd/vector.npy", "../odd/text", "../odd/sound.parquet", "../odd/picture.png"],
    "OUT": ["made", "made.html"],
    "ANY": ["../run2"],
}

OTHER_VALUES: Mapping[str, Sequence[str]] = {
    "RUN": ["../run"],
    "RUN2": ["../run2"],
    "JOB": ["../job.yaml"],
    "NAME": ["lists", "side", "nosuch"],
    "LAYOUT": ["clip-retrieval", "datacomp", "faiss", "huggingface", "img2dataset", "csv"],
    "ON": ["uid", "url", "domain", "sha256", "phash", "embedding", "caption", "signal"],
}

CHOICES: Mapping[str, Sequence[str]] = {
    "OUT": ["OUTPUT", "OUTPUT", "TEXT", "ADDRESS"],
    "ANY": ["FILE", "FILE", "FILE", "TEXT", "RUN2", "NEW", "ADDRESS"],
}


@dataclass(frozen=True)
class World:
    """Where commands are called: ``folder`` holds runs, a job and odd files; they write below ``folder/new``."""

    folder: Path
    files: Sequence[str]
    uid: str

    @staticmethod
    def made(folder: Path) -> World:
        """Two finished runs over 120 samples, and the odd files."""
        # Commands are called in forks of this process: what they import is imported here, once.
        for package in (commands, reading, report):
            for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)
        for kind in registry.STEPS:
            registry.configuration(kind)
        drawn = blobs([70, 50], [0.4, 0.8])
        samples = replace(drawn, columns={"text": [f"caption é 猫 of {uid}" for uid in drawn.uid]})
        entry = write_input(folder / "in", samples, 2)
        for number in range(2):  # captions have embeddings too: those of the pictures
            name = f"{number:05d}.npy"
            shutil.copy(folder / f"in/img_emb_{name}", folder / f"in/text_emb_{name}")
        entry["text_embeddings"] = f"{folder}/in/text_emb_*.npy"
        for name, seed in (("run", 1), ("run2", 2)):
            run_steps(folder / name, [entry], STEPS, part_samples=50, seed=seed)
        lines = [
            "name: odd",
            f"output: {folder}/new/out",
            f"input: [{json.dumps(entry)}]",
            "steps:",
            "- embed: {encoder: precomputed}",
            f"- exclude: {{list: {folder}/odd/bom.txt, on: uid}}",
            STEPS,
        ]
        (folder / "job.yaml").write_text("\n".join(lines) + "\n")
        (folder / "odd").mkdir()
        return World(folder, write_files(folder / "odd"), samples.uid[0])

    def state(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file that no command may touch."""
        paths = [str(self.folder / "job.yaml")]
        for part in ("in", "run", "run2", "odd"):
            for folder, _, names in os.walk(self.folder / part):
                paths += [os.path.join(folder, name) for name in names if name not in ANSWERS]
        stated = {path: os.lstat(path) for path in paths}
        return {path: (one.st_size, one.st_mtime_ns) for path, one in stated.items()}

    def word(self, kind: str, rng: random.Random) -> str:
        """A value of a kind."""
        if rng.random() < SOUND and kind in SOUND_VALUES:
            return rng.choice(SOUND_VALUES[kind])
        file = rng.choice(self.files)
        values: Mapping[str, Sequence[str]] = {
            **OTHER_VALUES,
            "NUMBER": NUMBERS,
            "TEXT": TEXTS,
            "SQL": CONDITIONS,
            "UID": [self.uid],
            "FILE": [file if file[:1] in ("/", "") else f"../odd/{file}"],
            "OUTPUT": OUTPUTS,
            "ADDRESS": ADDRESSES,
        }
        if kind == "SETTING":
            path = rng.choice([*PATHS, *TEXTS[:12]])
            return f"{path}={self.word(rng.choice(['NUMBER', 'TEXT', 'FILE']), rng)}"
        kind = rng.choice(CHOICES.get(kind, [kind]))
        return rng.choice(values[kind]) if kind in values else kind.replace("NEW", "made")

    def command(self, number: int) -> list[str]:
        """The arguments of a case."""
        rng = random.Random(number)
        words: list[str] = []
        for word in rng.choice(COMMANDS).replace(" [", "\n[").replace("] ", "]\n").splitlines():
            if not word.startswith("[") or rng.random() < 0.4:
                words += [self._filled(part, rng) for part in word.strip("[]").split()]
        return words + ["--json"] * (rng.random() < 0.2)

    def _filled(self, word: str, rng: random.Random) -> str:
        before, mark, after = word.rpartition("=")
        if after.isupper() or after.startswith("NEW"):
            return f"{before}{mark}{self.word(after, rng)}"
        return word


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float


def called(world: World, arguments: Sequence[str], prepare: Prepare = lambda: None) -> Ended:
    """Call the command in a process of its own, in ``world.folder/new``."""
    files = [world.folder / "stdout", world.folder / "stderr"]
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(world, arguments, files, prepare)
    code = _waited(child)
    out, err = (path.read_bytes().decode(errors="backslashreplace") for path in files)
    return Ended(code, out, err, time.monotonic() - began)


def _become(
    world: World, arguments: Sequence[str], files: Sequence[Path], prepare: Prepare
) -> NoReturn:
    os.setsid()
    os.chdir(world.folder / "new")
    os.environ["HOME"] = str(world.folder / "new")
    for number, path in enumerate(files, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8") for number in (1, 2))  # noqa: SIM115
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]  # as at a start
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.alarm(SECONDS)
    code = 99
    prepare()
    try:
        main(list(arguments))
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 98
    except BaseException:  # noqa: BLE001 - told by its exit code
        (world.folder / "traceback").write_text(traceback.format_exc())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)


def _waited(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def faults(world: World, arguments: Sequence[str], ended: Ended) -> list[str]:
    """What is wrong with how a command ended; nothing, if all is well."""
    made = {
        path: path.read_bytes()[: 1 << 22]
        for path in sorted((world.folder / "new").rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    lines = ended.err.splitlines()
    usage = lines[:1] and lines[0].startswith("Usage:")
    told = [line for line in lines if not line.startswith(("tamis: note:", "tamis: warning:"))]
    if arguments[0] in WORK:
        told = told[-1:]
    said = ended.out + ended.err
    as_json = arguments[-1] == "--json"
    found = {
        f"it ended with {ended.code}": ended.code not in (0, 1, 2),
        "a traceback": "Traceback" in said,
        "a secret is shown": SECRET in said,
        "a secret is written": any(SECRET.encode() in data for data in made.values()),
        "commands to the terminal": any(
            not character.isprintable() and character != "\n" for character in said
        ),
        "not one line of error": ended.code == 2 and not usage and len(told) != 1,
        "an error of any length": ended.code == 2 and len(ended.err) > 6_000,
        "an output beside an error": ended.code == 2 and as_json and ended.out != "",
        "half an output": ended.code == 2
        and arguments[0] not in ("run", "search", "materialize")
        and bool(made),
        "a partial file": any("partial" in path.name for path in made),
        "something was run": any(path.name == "pwned" for path in made),
    }
    return [name for name, is_so in found.items() if is_so]


def check(
    world: World, arguments: Sequence[str], prepare: Prepare = lambda: None
) -> tuple[Ended, list[str]]:
    """Call a command: how it ended, and its faults."""
    _emptied(world.folder / "new")
    before = world.state()
    ended = called(world, arguments, prepare)
    wrong = faults(world, arguments, ended)
    after = world.state()
    touched = sorted(path for path in before.keys() | after if before.get(path) != after.get(path))
    _emptied(world.folder / "new")
    return ended, wrong + [f"touched {path}" for path in touched[:3]]


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=int)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    codes, bad = Counter[int](), 0
    with tempfile.TemporaryDirectory() as folder:
        world = World.made(Path(folder))
        np.seterr(all="ignore")
        for number in range(asked.first, asked.first + asked.cases):
            arguments = world.command(number)
            ended, wrong = check(world, arguments)
            codes[ended.code] += 1
            if wrong or ended.seconds > SECONDS / 3:
                bad += bool(wrong)
                words = [word[:80] for word in arguments]
                sys.stdout.write(
                    f"{number} {words} {wrong} {ended.seconds:.1f} s {ended.err[-1500:]}\n"
                )
                sys.stdout.flush()
    sys.stdout.write(f"{asked.cases} commands, {bad} with faults; exit codes {dict(codes)}\n")
    sys.exit(bad > 0)


if __name__ == "__main__":
    _main()
