"""A whole run over bad input: the good come out byte for byte, the bad are in the ledger, nothing else is."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import webdataset

from tests.support.bad_inputs import CHANGES, GOOD, MAX_MEMBER_BYTES, MAX_PIXELS, STRETCHES, pair
from tests.support.running import ledger, make_plan, run_here
from tests.support.tars import make_tar

STEPS = "  - signals: [words, characters, min_side]\n  - write: {samples_per_shard: 50}"


@pytest.mark.slow
def test_a_run_over_every_kind_ends_with_every_sample_accounted_for(tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    expected: Counter[str | None] = Counter()
    for place, kind in enumerate(STRETCHES.values()):
        stretch = kind.make(f"bad{place:03d}")
        data = pair("good-0000") + stretch + pair("good-0001") + bytes(1024)
        (inputs / f"{place:03d}.tar").write_bytes(data)
        expected.update([None] * 2 + [reason and str(reason) for reason in kind.rows])
    for place, change in enumerate(CHANGES.values()):
        good = b"".join(pair(f"good-{i:04d}") for i in range(6))
        (inputs / f"change-{place:03d}.tar").write_bytes(change.change(good + bytes(1024)))
        expected[None] += 0 if change.lost < 0 else 6 - change.lost
        expected.update(reason and str(reason) for reason in change.rows)
    uid = ("json", json.dumps({"uid": "0" * 31 + "7"}).encode())
    twice = [
        (f"{key}.{suffix}", data)
        for key in ("a", "b")
        for suffix, data in (("jpg", GOOD), uid, ("txt", b"c"))
    ]
    (inputs / "uid.tar").write_bytes(make_tar(twice))
    expected.update([None, "repeated_uid"])  # over all files: the walk of one does not see it

    output = tmp_path / "run"
    limits = {"max_pixels": MAX_PIXELS, "max_member_bytes": MAX_MEMBER_BYTES}
    run_here(make_plan(output, inputs / "*.tar", STEPS, limits=limits))
    rows = ledger(output)
    assert Counter(row["reason"] for row in rows) == expected
    assert {row["kept"] for row in rows if row["reason"]} == {False}

    shards = sorted((output / "shards").glob("*.tar"))
    read = [
        sample for path in shards for sample in webdataset.WebDataset(str(path), shardshuffle=False)
    ]
    assert len(read) == expected[None]
    assert sum(sample.get("jpg") == GOOD for sample in read) >= 2 * len(STRETCHES)
    for path in shards:
        with tarfile.open(path) as tar:
            assert all("/" not in name and ".." not in name for name in tar.getnames())
    assert not list(tmp_path.glob("etc*"))
