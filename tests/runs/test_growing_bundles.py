"""A run that is gone on with beyond one bundle: only the last bundle, which had room, is made again."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.pipeline.runs import walk
from tests.support.embedded import EMBED, Samples, blobs, write_input
from tests.support.executors import Counted
from tests.support.running import contents, ledger, make_plan, run_here
from tests.support.tables import plan_parts, small_bundles

BUNDLE = 3
JOB: dict[str, Any] = {"part_samples": 10, "range_samples": 45}
SIZES = (25, 40, 8, 31, 52)
"""Samples of each file: 3, 4, 1, 4 and 6 parts."""

LOCAL = """
- signals: [words, characters, kind]
- rules: {words: {min: 3}}
- exact_duplicates: {on: url_text}
- near_duplicates: {jaccard: 0.9, agree: none}
- write
"""
"""What a sample is worth here does not hang on others, unless they are alike: and none are."""

GLOBAL = f"""
- signals: [words, kind]
- rules: {{words: {{min: 3}}}}
- exact_duplicates: {{on: url_text}}
- near_duplicates: {{jaccard: 0.6, agree: none}}
{EMBED}
- semantic_duplicates: {{clusters: 4, epsilon: 0.02}}
- density: {{clusters: 4, neighbours: 2, keep: 0.8}}
- score: {{signal: kind, keep: 0.8}}
- random: {{keep: 0.8}}
- write
"""


@pytest.fixture(scope="module", autouse=True)
def several_bundles() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small_bundles(patch, BUNDLE)
        yield


def samples(alike: bool) -> Samples:
    """Captions of a few words; with ``alike`` some samples repeat what stands in another file."""
    count = sum(SIZES)
    draw = np.random.default_rng(5)
    words = [f"{number:x}" for number in draw.permutation(4000)]
    text = [" ".join(words[i * 20 : i * 20 + 2 + i % 9]) for i in range(count)]
    url = [f"u{i}" for i in range(count)]
    made = blobs([50, 60, 46], [0.5, 0.3, 0.8], dim=8, kind=[float(i % 23) for i in range(count)])
    vectors = made.vectors.copy()
    if alike:
        for i in range(9, count, 11):
            other = int(draw.integers(0, count))
            text[i], url[i] = text[other], url[other if i % 2 else i]
            vectors[i] = vectors[other]
    return Samples(made.uid, vectors, {**made.columns, "text": text, "url": url})


def entries(folder: Path, alike: bool) -> list[dict[str, Any]]:
    """An entry for each file."""
    made, ends = samples(alike), np.cumsum(SIZES)
    return [
        {"name": f"in{number}"}
        | write_input(folder / f"in{number}", made.take(np.arange(end - size, end)))
        for number, (end, size) in enumerate(zip(ends.tolist(), SIZES, strict=True))
    ]


def do(output: Path, given: Sequence[Mapping[str, Any]], steps: str) -> Counted:
    made = make_plan(output, "", steps, input=list(given), **JOB)
    executor = Counted(made.root)
    walk.run(made, executor=executor)
    return executor


def bundles(names: Sequence[str]) -> dict[str, set[int]]:
    """Folder -> the numbers of its bundles among ``names``."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for name in names:
        if told := re.fullmatch(r"(.*)/bundle-(\d+)\.parquet", name):
            found[told[1]].add(int(told[2]))
    return dict(found)


def stamps(output: Path) -> dict[str, tuple[int, int]]:
    """Time and inode of each file of a bundle."""
    return {
        str(path.relative_to(output)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in output.rglob("bundle-*.parquet")
    }


def parts(output: Path) -> int:
    return len(plan_parts(output))


def test_each_new_file_fills_the_last_bundle_and_leaves_the_full_ones(tmp_path: Path) -> None:
    given, output = entries(tmp_path, alike=False), tmp_path / "run"
    do(output, given[:1], LOCAL)
    met = set()
    for known in range(1, len(given)):
        old, before = parts(output), stamps(output)
        done = bundles(do(output, given[: known + 1], LOCAL).done)
        full, last = old // BUNDLE, (parts(output) - 1) // BUNDLE
        met.add(old % BUNDLE)
        assert len(done) > 6  # phases, of six steps
        for folder, numbers in done.items():
            assert numbers == set(range(full, last + 1)), folder
        after = stamps(output)
        kept = {name for name in before if before[name] == after[name]}
        assert bundles(sorted(kept)) == (
            {f: set(range(full)) for f in bundles(list(after))} if full else {}
        )
    assert met == {0, 1, 2}  # the last bundle was full, or had room


def test_each_new_file_fills_the_last_shard_and_leaves_the_full_ones(tmp_path: Path) -> None:
    given, output, size = entries(tmp_path, alike=False), tmp_path / "run", 7
    steps = LOCAL.replace("- write", f"- write: {{samples_per_shard: {size}}}")
    for known in range(1, len(given) + 1):
        before = sum(row["kept"] for row in ledger(output)) if known > 1 else 0
        done = do(output, given[:known], steps).done
        after = sum(row["kept"] for row in ledger(output))
        assert before < after
        names = {path for path in done if path.startswith("tables/write/shards/")}
        changed = range(before // size, -(-after // size))
        assert names == {f"tables/write/shards/shard-{shard:05d}.parquet" for shard in changed}


@pytest.mark.parametrize("turned", [False, True])
def test_the_end_is_that_of_a_run_over_all(tmp_path: Path, turned: bool) -> None:
    """With the files in another order, too: then each sample lies in another bundle."""
    given = entries(tmp_path, alike=True)
    for known in range(len(given)):
        do(tmp_path / "run", given[: known + 1], GLOBAL)
    do(tmp_path / "whole", given[::-1] if turned else given, GLOBAL)
    grown, whole = (by_uid(tmp_path / name) for name in ("run", "whole"))
    assert grown == whole
    dropped = {row["step"] for row in grown.values()}
    assert dropped >= {"rules", "exact_duplicates", "near_duplicates", "semantic_duplicates"}
    assert dropped >= {None, "density", "score", "random"}
    subsets = [(tmp_path / name / "subset.npy").read_bytes() for name in ("run", "whole")]
    assert subsets[0] == subsets[1]
    if not turned:
        for folder in ("ledger", "ledger_index", "shards"):
            assert contents(tmp_path / "run" / folder) == contents(tmp_path / "whole" / folder)
    made = make_plan(tmp_path / "run", "", GLOBAL, input=given, **JOB)
    assert run_here(made).tasks_run == 0


def by_uid(output: Path) -> dict[str, dict[str, Any]]:
    """The ledger's rows, but for what depends on the order in which files were numbered."""
    places = {"sid", "shard", "shard_key"}
    return {
        row["uid"]: {name: value for name, value in row.items() if name not in places}
        for row in ledger(output)
    }
