"""Tiers with shards of their own: who stands where, what the manifest says of them, and what stays when one grows."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tamis
from tamis.jobs.cli.app import main
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.runs.mixture import mixture
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.manifest import Output
from tests.support.running import (
    Sample,
    contents,
    ledger,
    make_plan,
    materialize,
    picture,
    read_tar,
    run_here,
    subset_uids,
    write_tar,
)

STEPS = (
    "- signals: [score]\n- tiers: {name: quality, signal: score, cuts: [2, 4], names: [noisy, middle, clean]}\n"
    "- write: {samples_per_shard: 5, by: quality}"
)


def scores(first: int, count: int) -> list[int | None]:
    """Of seven samples three are noisy, one middle, two clean, and one has no tier."""
    return [(0, 5, 1, 3, 0, 4, None)[n % 7] for n in range(first, first + count)]


def write(path: Path, first: int, count: int) -> None:
    found = zip(range(first, first + count), scores(first, count), strict=True)
    samples = [
        Sample(f"k{n}", picture(n), f"caption no {n}", {"score": score, "uid": f"{n + 1:032x}"})
        for n, score in found
    ]
    write_tar(path, samples)


def run(folder: Path, output: str = "run", steps: str = STEPS) -> Path:
    run_here(make_plan(folder / output, folder / "in/*.tar", steps, part_samples=4))
    return folder / output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty pairs in two files."""
    write(tmp_path / "in/0.tar", 0, 18)
    write(tmp_path / "in/1.tar", 18, 12)
    return tmp_path


def tier_of(score: int | None) -> str | None:
    return None if score is None else ("noisy" if score < 2 else "middle" if score < 4 else "clean")


def faults(path: Path) -> list[str]:
    return [
        f"{fault.path}: {fault.what}" for fault in verify(open_run(str(path)), Seen(), deep=True)
    ]


def tiers(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((path / "manifest.json").read_bytes())["tiers"]
    return found


def test_each_tier_has_its_samples_in_their_order(folder: Path) -> None:
    path = run(folder)
    expected = {
        tier: [f"caption no {n}" for n, score in enumerate(scores(0, 30)) if tier_of(score) == tier]
        for tier in ("noisy", "middle", "clean", None)
    }
    for tier, captions in expected.items():
        name = "[0-9]*" if tier is None else f"{tier}-*"
        found = [read_tar(tar) for tar in sorted((path / "shards").glob(f"{name}.tar"))]
        assert [len(shard) for shard in found[:-1]] == [5] * (len(found) - 1)
        assert [sample.text for shard in found for sample in shard] == captions
    assert (path / "shards/noisy-00002.tar").exists()


def test_the_ledger_says_the_key_under_which_a_sample_stands(folder: Path) -> None:
    path = run(folder)
    stands = {
        sample.key: sample.text
        for tar in (path / "shards").glob("*.tar")
        for sample in read_tar(tar)
    }
    rows = ledger(path)
    assert {row["shard_key"]: row["text"] for row in rows} == stands
    assert len(stands) == len(rows) == 30
    (row,) = [row for row in rows if row["text"] == "caption no 1"]
    assert (row["quality"], row["shard"], row["shard_key"]) == ("clean", 0, "clean-000000000")
    assert faults(path) == []


def test_others_read_it(folder: Path) -> None:
    path = run(folder)
    rows = [
        row for p in (path / "shards").glob("*.parquet") for row in pq.read_table(p).to_pylist()
    ]
    assert sorted(row["uid"] for row in rows) == subset_uids(path)
    assert all(row["key"].startswith(row["quality"] or "0") for row in rows)
    assert len({sample["__key__"] for sample in tamis.load(str(path))}) == 30
    assert len(tamis.open(path).subset()) == 30


def test_the_manifest_counts_tiers_and_suggests_a_mixture(folder: Path) -> None:
    path = run(folder)
    found = tiers(path)
    counts = {tier["tier"]: (tier["samples"], tier["shards"]) for tier in found}
    assert counts == {"noisy": (13, 3), "middle": (4, 1), "clean": (9, 2), None: (4, 1)}
    assert sum(tier["weight"] for tier in found) == pytest.approx(1, abs=1e-5)
    factor = {tier["tier"]: tier["factor"] for tier in found}
    assert factor["noisy"] == 1
    assert factor["clean"] == pytest.approx(math.sqrt(13 / 9), abs=1e-4)


def test_no_tier_is_suggested_more_than_four_times() -> None:
    outputs = [
        Output("shards/a-00000.parquet", 1, "", 10),
        Output("shards/b-00000.parquet", 1, "", 1000),
        Output("shards/b-00001.parquet", 1, "", 500),
        Output("shards/a-b-00000.parquet", 1, "", 7),
        Output("shards/00000.parquet", 1, "", 3),
    ]
    found = mixture(["a", "b", "c"], outputs)
    assert [(one.tier, one.samples, one.shards, one.factor) for one in found] == [
        ("a", 10, 1, 4.0),
        ("b", 1500, 2, 1.0),
    ]
    assert found[0].weight == pytest.approx(40 / 1540, abs=1e-6)


def test_a_run_without_tiers_has_none_in_its_manifest(folder: Path) -> None:
    path = run(folder, steps=STEPS.replace(", by: quality", ""))
    assert "tiers" not in json.loads((path / "manifest.json").read_bytes())
    assert (path / "shards/00005.tar").exists()


def test_back_to_shards_for_all_nothing_old_is_left(folder: Path) -> None:
    plain = contents(run(folder, "other", STEPS.replace(", by: quality", "")) / "shards")
    path = run(folder)
    run(folder, steps=STEPS.replace(", by: quality", ""))
    assert contents(path / "shards") == plain
    assert faults(path) == []
    run(folder)
    assert faults(path) == []


def test_where_more_comes_full_shards_of_every_tier_stay(folder: Path) -> None:
    path = run(folder)
    before = contents(path / "shards")
    write(folder / "in/2.tar", 30, 20)
    run(folder)
    after = contents(path / "shards")
    assert {name: after[name] for name in before if re.search("noisy-0000[01]", name)}.items() <= (
        before.items()
    )
    assert after == contents(run(folder, "fresh") / "shards")
    assert faults(path) == []


def test_other_cuts_are_materialized(folder: Path) -> None:
    path = run(folder)
    materialize(open_run(str(path)), ["quality.cuts.0=1"], folder / "less")
    rows = ledger(folder / "less")
    assert {row["shard_key"][:6] for row in rows if row["score"] == 1} == {"middle"}
    assert faults(folder / "less") == []


def test_gaps_stand_in_the_shard_of_their_tier(folder: Path) -> None:
    (folder / "list.txt").write_text(f"{2:032x}\n{4:032x}\n")
    out = f"- exclude: {{list: {folder}/list.txt, on: uid, gaps: true}}\n- write"
    path = run(folder, steps=STEPS.replace("- write", out))
    clean = [sample.key for sample in read_tar(path / "shards/clean-00000.tar")]
    assert clean == [f"clean-00000000{place}" for place in (1, 2, 3, 4)]
    assert faults(path) == []


def test_verify_sees_a_sample_in_the_wrong_shard(folder: Path) -> None:
    path = run(folder)
    for suffix in (".tar", ".parquet"):
        one, other = path / f"shards/noisy-00000{suffix}", path / f"shards/noisy-00001{suffix}"
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
    assert any("other keys and uids than the ledger's" in fault for fault in faults(path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("by: qualty", r"no step `tiers` is called `qualty`.*quality"),
        ("by: signals", "no step `tiers` is called `signals`"),
    ],
)
def test_tiers_that_are_not_there_are_refused(folder: Path, settings: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        run(folder, steps=STEPS.replace("by: quality", settings))


def test_names_that_no_file_should_have_are_refused(folder: Path) -> None:
    with pytest.raises(JobError, match=r"tier `not\.clean`, and shards are named"):
        run(folder, steps=STEPS.replace("clean]", "not.clean]"))


def test_explain_names_the_shard(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run(folder)
    with pytest.raises(SystemExit):
        main(["explain", str(path), f"{2:032x}"])
    assert "written to shard clean-00000 as clean-000000000" in capsys.readouterr().out


def test_a_trainer_reads_one_tier(folder: Path) -> None:
    path = run(folder)
    for tier in ("noisy", "middle", "clean", ""):
        expected = sorted(
            f"caption no {n}"
            for n, score in enumerate(scores(0, 30))
            if (tier_of(score) or "") == tier
        )
        read = sorted(sample["txt"].decode() for sample in tamis.load(str(path), tier=tier))
        assert read == expected
    assert sum(1 for _ in tamis.open(path).to_webdataset(tier="clean")) < 30
    with pytest.raises(StateError, match=r"no tier `cleen` .*: it has `noisy`, `middle`, `clean`"):
        tamis.load(str(path), tier="cleen")
    plain = run(folder, "plain", STEPS.replace(", by: quality", ""))
    with pytest.raises(StateError, match=r"its job does not say `write: \{by: TIERS\}`"):
        tamis.load(str(plain), tier="clean")
