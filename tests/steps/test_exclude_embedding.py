"""Samples near a listed vector are left out: by a file of vectors or another run, shown or not."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import tell
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.pipeline.steps.exclude import by_embedding
from tamis.schemas.errors import InputError, JobError
from tests.support.embedded import Samples, blobs, by_uid, run_steps, unit, write_input
from tests.support.pictures import encode, noise
from tests.support.running import Sample, contents, ledger, make_plan, run_here, write_tar

Rows = dict[str, dict[str, Any]]

DIM = 16
POOL = blobs([40, 30, 20], [0.5, 0.5, 0.5], dim=DIM)
STORED = POOL.vectors.astype(np.float16)
LISTED = unit(
    np.concatenate(
        [
            POOL.vectors[:12] + 0.06 * np.random.default_rng(1).standard_normal((12, DIM)),
            np.random.default_rng(2).standard_normal((8, DIM)),
        ]
    )
)


def distances(stored: npt.NDArray[np.float16], listed: npt.NDArray[np.floating]) -> Any:
    """1 - cosine of each pair, in float64."""
    wide = stored.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return 1 - wide @ listed.astype(np.float64).T


def listed(folder: Path, vectors: npt.NDArray[np.floating] = LISTED) -> Path:
    np.save(folder / "listed.npy", vectors)
    return folder / "listed.npy"


def run(folder: Path, settings: str, samples: Samples = POOL, name: str = "run") -> Rows:
    if not (folder / "in").exists():
        write_input(folder / "in", samples, files=2)
    entry = {"path": f"{folder}/in/*.parquet", "image_embeddings": f"{folder}/in/img_emb_*.npy"}
    steps = f"- exclude: {{on: embedding, {settings}}}"
    run_steps(folder / name, [entry], steps, part_samples=13)
    return by_uid(folder / name)


def out(rows: Rows) -> set[str]:
    return {uid for uid, row in rows.items() if row["step"] == "exclude"}


@pytest.mark.parametrize("epsilon", [0.02, 0.07, 0.4])
def test_what_lies_within_epsilon_of_a_listed_vector_is_left_out(
    epsilon: float, tmp_path: Path
) -> None:
    """Brute force over all pairs is the judge."""
    rows = run(tmp_path, f"list: {listed(tmp_path)}, epsilon: {epsilon}")
    apart = distances(STORED, LISTED)
    nearest = apart.min(axis=1)
    assert np.abs(nearest - epsilon).min() > 1e-6  # rounding decides none
    assert out(rows) == {uid for uid, far in zip(POOL.uid, nearest, strict=True) if far <= epsilon}
    assert 0 < len(out(rows)) < len(POOL)
    for number, uid in enumerate(POOL.uid):
        row = rows[uid]
        assert row["exclude"] == pytest.approx(nearest[number], abs=1e-6)
        if row["step"]:
            assert (row["reason"], row["rule"]) == ("excluded", "listed.npy")
            assert row["value"] == row["partner_value"] == pytest.approx(row["exclude"])
            assert row["bound"] == epsilon
            assert row["message"] == f"row {apart[number].argmin()} of the list"


def test_what_another_run_keeps_is_named_by_its_uid(tmp_path: Path) -> None:
    suite = POOL.take(np.arange(0, 30, 3))
    entry = write_input(tmp_path / "suite-in", suite)
    run_steps(tmp_path / "suite", [entry], "- write: {format: parquet}")
    rows = run(tmp_path, f"list: {tmp_path}/suite, epsilon: 0.0001")
    assert out(rows) == set(suite.uid)
    assert all(rows[uid]["partner_uid"] == uid for uid in suite.uid)
    assert {rows[uid]["message"] for uid in suite.uid} == {None}


def test_a_list_that_is_not_revealed_leaves_no_vector_and_no_distance(tmp_path: Path) -> None:
    path = listed(tmp_path)
    shown = run(tmp_path, f"list: {path}, epsilon: 0.1", name="shown")
    rows = run(tmp_path, f"list: {path}, epsilon: 0.1, reveal: false")
    assert out(rows) == out(shown)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    unsaid = ("message", "partner_uid", "partner_value", "value", "bound")
    for uid in out(rows):
        assert rows[uid]["rule"] == f"sha256 {sha256[:16]}"
        assert {rows[uid][name] for name in unsaid} == {None}
    assert "exclude" not in rows[POOL.uid[0]]
    assert not (tmp_path / "run/tables/exclude/values").exists()
    (table,) = (tmp_path / "run/tables/exclude/list").glob("list.parquet")
    assert pq.read_table(table).num_rows == 0
    left = b"".join(data for file, data in contents(tmp_path / "run").items() if file != "job.yaml")
    assert b"listed" not in left
    assert LISTED[0].tobytes() not in left
    assert not list(verify(open_run(str(tmp_path / "run")), Seen(), deep=True))


def test_another_epsilon_is_decided_again_and_explained(tmp_path: Path) -> None:
    rows = run(tmp_path, f"list: {listed(tmp_path)}, epsilon: 0.07")
    finished = open_run(str(tmp_path / "run"))
    uid = max(out(rows), key=lambda uid: rows[uid]["value"])
    (row,) = (row for row in ledger(tmp_path / "run") if row["uid"] == uid)
    (step,) = (step for step in tell(finished, row)["steps"] if step["step"] == "exclude")
    (mend,) = step["passes_with"]
    assert (mend["setting"], mend["relation"]) == ("exclude.epsilon", "<=")
    assert step["measure"] == "distance"
    change = whatif(finished, [f"exclude.epsilon={mend['value']}"])
    assert (change.came, change.went) == (1, 0)
    kept = min((uid for uid in rows if rows[uid]["kept"]), key=lambda uid: rows[uid]["exclude"])
    change = whatif(finished, [f"exclude.epsilon={rows[kept]['exclude'] + 1e-6}"])
    assert (change.came, change.went) == (0, 1)


def test_a_sample_without_a_vector_stands_in_no_list(tmp_path: Path) -> None:
    vectors = POOL.vectors.copy()
    vectors[3] = 0
    rows = run(tmp_path, f"list: {listed(tmp_path)}, epsilon: 0.4", Samples(POOL.uid, vectors, {}))
    assert rows[POOL.uid[3]]["step"] == "embed"
    assert POOL.uid[3] not in out(rows)


def test_lists_that_cannot_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words.txt").write_text("a dog\n")
    with pytest.raises(JobError, match=r"words.txt` is text, and pictures' embeddings are comp"):
        run(tmp_path, f"list: {tmp_path}/words.txt")
    with pytest.raises(JobError, match="`all_but` goes with lists of names, not with `on: embedd"):
        run(tmp_path, f"list: {listed(tmp_path)}, all_but: true", name="others")
    with pytest.raises(InputError, match="vectors of 16 numbers are compared with the list of 8"):
        run(tmp_path, f"list: {listed(tmp_path, LISTED[:, :8])}")
    with pytest.raises(InputError, match=r"the list `.*listed.npy` is empty: give at least one"):
        run(tmp_path, f"list: {listed(tmp_path, LISTED[:0])}", name="empty")
    monkeypatch.setattr(by_embedding, "MOST_VECTORS", 19)
    with pytest.raises(InputError, match="more than 19 vectors, which is what a worker holds"):
        run(tmp_path, f"list: {listed(tmp_path)}", name="long")
    with pytest.raises(InputError) as raised:
        run(tmp_path, f"list: {listed(tmp_path)}, reveal: false", name="hidden")
    assert str(tmp_path) not in str(raised.value)
    (tmp_path / "u.txt").write_text("0" * 32)
    entry = {"path": f"{tmp_path}/in/*.parquet", "image_embeddings": f"{tmp_path}/in/img_emb_*.npy"}
    step = f"- exclude: {{list: {tmp_path}/u.txt, on: uid, embedding: embed}}"
    with pytest.raises(JobError, match=r"`embedding: .* it belongs to `on: embedding`"):
        run_steps(tmp_path / "wrong", [entry], step)


def thumbnail(data: bytes) -> npt.NDArray[np.float32]:
    """What stands for an encoder that sees a picture as a whole: its colours on 8 by 8 cells, less their mean."""
    image = Image.open(io.BytesIO(data)).convert("RGB").resize((8, 8), Image.Resampling.BOX)
    cells = np.asarray(image, np.float32).reshape(-1)
    centred: npt.NDArray[np.float32] = cells - cells.mean()
    return centred


def damaged(number: int, data: bytes) -> bytes:
    """The picture smaller, or compressed with loss, or both."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if number % 2:
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4))
    return encode(image, "JPEG", quality=60) if number % 3 else encode(image)


@pytest.mark.slow
def test_a_planted_suite_is_found_as_by_near_pictures_and_strangers_are_not(tmp_path: Path) -> None:
    """200 pictures, each encoded again or resized and under another caption, among 2,000 others."""
    suite = [encode(noise(seed=number)) for number in range(1_000, 1_200)]
    copies = [damaged(number, data) for number, data in enumerate(suite)]
    strangers = [encode(noise(seed=number)) for number in range(3_000, 5_000)]
    seen = np.stack([thumbnail(data) for data in [*copies, *strangers]])
    captions = [f"other words {number}" for number in range(len(seen))]
    uids = [f"{number:032x}" for number in range(len(seen))]
    pool = Samples(uids, unit(seen), {"text": captions})
    path = listed(tmp_path, unit(np.stack([thumbnail(data) for data in suite])))
    rows = run(tmp_path, f"list: {path}, epsilon: 0.05", pool)
    found = {int(uid, 16) for uid in out(rows)}
    assert near_copies(tmp_path, suite, copies) <= {number for number in found if number < 200}
    assert len([number for number in found if number < 200]) >= 180
    assert len([number for number in found if number >= 200]) <= 2


def near_copies(folder: Path, suite: list[bytes], copies: list[bytes]) -> set[int]:
    """The copies that `near_pictures` joins to a picture of the suite."""
    for name, first, pictures in (("suite", 10_000, suite), ("copies", 0, copies)):
        fields = [{"uid": f"{first + number:032x}"} for number in range(len(pictures))]
        samples = [
            Sample(f"{name}{number}", data, f"{name} {number}", fields[number])
            for number, data in enumerate(pictures)
        ]
        write_tar(folder / f"{name}.tar", samples)
    entries = [{"path": f"{folder}/{name}.tar", "name": name} for name in ("suite", "copies")]
    run_here(make_plan(folder / "near", "", "- near_pictures", input=entries))
    fallen = [row for row in ledger(folder / "near") if row["step"] == "near_pictures"]
    pairs = [{int(row["uid"], 16), int(row["survivor_uid"], 16)} for row in fallen]
    return {min(pair) for pair in pairs if min(pair) + 10_000 == max(pair)}
