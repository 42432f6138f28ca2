"""The benchmarks beside other programs, without those: the time of a command, what is judged, our own side, tiny."""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.benchmarks import _peers, bench_semdedup, peers_captions, peers_embed, peers_pictures
from tests.benchmarks._steps import recorded

BURN = "import time\nwhile time.process_time() < 0.5: pass"


def test_a_command_is_charged_with_the_processes_of_its_processes() -> None:
    # The second is left behind by the first, as Ray leaves its own, and nobody waits for it.
    nested = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {BURN!r}]); time.sleep(1)"
    spent = _peers.timed([sys.executable, "-c", nested], {})
    assert spent.processor >= 0.4
    assert spent.wall >= spent.processor / 2


def test_growth_leaves_out_what_is_the_same_at_both_sizes() -> None:
    ours = [[_peers.Spent(9, 20.0)], [_peers.Spent(9, 25.0)]]
    theirs = [[_peers.Spent(9, 3.0)], [_peers.Spent(9, 13.0)]]
    row = _peers.growth("x", "y", 100, "pairs", ours, theirs)
    assert (row.ours, row.theirs, row.ratio) == (20.0, 10.0, 2.0)
    assert _peers.growth("x", "y", 100, "pairs", ours, theirs[::-1]).ratio is None


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="no such peer"):
        _peers.timed([sys.executable, "-c", "raise SystemExit('no such peer')"], {})


def test_peers_that_are_not_installed_have_a_row_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(_peers.FOLDER, str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["x"])
    peers_embed.main()
    peers_pictures.main()
    monkeypatch.setattr(sys, "argv", ["x", "--captions", "20", "30"])
    peers_captions.main()
    said = capsys.readouterr().out
    for peer in ("clip-retrieval", "py-data-juicer", *peers_captions.PEERS):
        assert f"{peer}: not installed" in said


def test_every_peer_has_its_list_and_its_script() -> None:
    named = {environment for environment, _, _ in peers_captions.PEERS.values()}
    named |= {
        peers_embed.PEER,
        peers_pictures.PEER,
        "img2dataset",
    }  # tests/audit/test_img2dataset.py
    assert named == {path.stem for path in (_peers.HERE / "peers").glob("*.txt")}
    for _, script, _ in peers_captions.PEERS.values():
        assert (_peers.HERE / script).exists()


def test_a_peer_is_named_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_peers.FOLDER, str(tmp_path))
    assert _peers.interpreter("some-peer") is None
    place = (
        tmp_path / "some-peer" / "lib" / "python3.11" / "site-packages" / "some_peer-1.2.dist-info"
    )
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: some-peer\nVersion: 1.2\n")
    (tmp_path / "some-peer" / "bin").mkdir()
    (tmp_path / "some-peer" / "bin" / "python").symlink_to(sys.executable)
    assert _peers.interpreter("some-peer") == tmp_path / "some-peer" / "bin" / "python"
    assert _peers.release("some-peer") == "some-peer 1.2"


@pytest.fixture
def captions() -> peers_captions.Captions:
    return peers_captions.drawn(400)


def test_planted_pairs_are_those_alike_enough(captions: peers_captions.Captions) -> None:
    pairs = captions.pairs()
    assert 10 < len(pairs) < 40
    words = [set(text.split()) for text in captions.texts]
    for first, second in pairs:
        assert len(words[first] & words[second]) / len(words[first] | words[second]) >= 0.8


def test_a_result_is_judged_by_what_was_planted(captions: peers_captions.Captions) -> None:
    everything = set(range(400))
    assert peers_captions.judged(captions, everything) == peers_captions.Found(400, 0.0, 0)
    without = everything - {copy for _, copy in captions.pairs()}
    assert peers_captions.judged(captions, without) == peers_captions.Found(len(without), 1.0, 0)
    family = {
        row for copy, first in enumerate(captions.origin) if copy != first for row in (first, copy)
    }
    lonely = next(
        row for row in sorted(everything - family) if len(captions.texts[row].split()) > 4
    )
    assert peers_captions.judged(captions, everything - {lonely}).alone == 1


def test_our_chain_of_captions_drops_what_a_comparison_of_all_pairs_drops(
    captions: peers_captions.Captions, tmp_path: Path
) -> None:
    peers_captions.write(tmp_path / "in", captions)
    recorded(peers_captions.our_job(tmp_path / "in", tmp_path / "ours-0"))
    kept = peers_captions.results(tmp_path, "ours")
    long = [row for row, text in enumerate(captions.texts) if len(text.split()) >= 3]
    alike = {pair for pair in combinations(long, 2) if captions.alike(*pair) >= 0.8}
    assert all(not {first, second} <= kept for first, second in alike)
    assert kept | {row for pair in alike for row in pair} == set(long)


def test_our_chain_of_pictures_and_theirs_are_given_the_same(tmp_path: Path) -> None:
    assert peers_pictures.write(tmp_path / "in", 40) == 40
    recorded(peers_pictures.job(tmp_path, tmp_path / "ours-0"))
    kept = peers_pictures.ours_kept(tmp_path / "ours-0")
    lines = (tmp_path / "in" / "pairs.jsonl").read_text().splitlines()
    assert 0 < len(kept) < 40
    assert kept < {json.loads(line)["key"] for line in lines}
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "kept.jsonl").write_text("\n".join(lines[:5]))
    assert len(peers_pictures.theirs_kept(tmp_path / "theirs")) == 5


@pytest.mark.slow
def test_vectors_are_compared_by_key(tmp_path: Path) -> None:
    count = peers_embed.write(tmp_path / "in", 12)
    job = peers_embed.JOB.format(
        given=tmp_path / "in", made=tmp_path / "run", encoder="demo", batch=4
    )
    recorded(job)
    ours = peers_embed.our_vectors(tmp_path / "run")
    assert len(ours) == count == 12
    # As clip-retrieval writes them, in another order, and one vector turned round.
    keys = sorted(ours, reverse=True)
    other = tmp_path / "theirs"
    for place, kind in enumerate(("img", "text")):
        rows = np.stack([ours[key][place] for key in keys])
        rows[3] *= -1
        (other / f"{kind}_emb").mkdir(parents=True)
        np.save(other / f"{kind}_emb" / f"{kind}_emb_0.npy", rows.astype(np.float16))
    (other / "metadata").mkdir()
    pq.write_table(pa.table({"image_path": keys}), other / "metadata" / "metadata_0.parquet")
    for found in peers_embed.cosines(tmp_path / "run", other):
        np.testing.assert_allclose(np.delete(found, 3), 1, atol=1e-6)
        np.testing.assert_allclose(found[3], -1, atol=1e-6)


def test_steady_seconds_are_read_from_what_the_runs_leave(tmp_path: Path) -> None:
    events = [
        {"event": "PhaseEnded", "step": "ingest", "seconds": 7},
        {"event": "PhaseEnded", "step": "embed", "seconds": 1.5},
        {"event": "StepEnded", "step": "embed", "seconds": 9},
        {"event": "PhaseEnded", "step": "embed", "seconds": 2},
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    assert peers_embed.our_steady(tmp_path) == 3.5
    (tmp_path / "stats").mkdir()
    (tmp_path / "stats" / "0.json").write_text('{"total_duration": 4.25}')
    assert peers_embed.their_steady(tmp_path) == 4.25


def test_the_formulas_as_they_stand_drop_what_ours_drops() -> None:
    ordered = bench_semdedup.members(300, 16)
    mine, theirs = bench_semdedup.ours(ordered, 1), bench_semdedup.reference(ordered)
    np.testing.assert_allclose(mine, theirs, atol=1e-6)
    both, alone = bench_semdedup.differing(mine, theirs)
    assert both > 10
    assert alone == 0
    theirs[np.flatnonzero(mine > 0.98)[0]] = 0
    assert bench_semdedup.differing(mine, theirs) == (both - 1, 1)


@pytest.mark.slow
def test_the_script_beside_the_formulas_runs(tmp_path: Path) -> None:
    rows = bench_semdedup.compare(600, 32, 1, 1, tmp_path)
    assert [row.beside for row in rows] == ["SemDeDup's formulas"] * 3
