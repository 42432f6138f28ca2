from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tamis.pipeline.inputs.part_builder import IngestOptions
from tests.support import bad_inputs
from tests.support.bad_inputs import CHANGES, STRETCHES
from tests.support.input_files import Row, ingest_bytes
from tests.support.tars import walk

OPTIONS = IngestOptions(
    part_samples=50,
    max_pixels=bad_inputs.MAX_PIXELS,
    max_member_bytes=bad_inputs.MAX_MEMBER_BYTES,
)
END = bytes(1024)


def good(number: int) -> bytes:
    return bad_inputs.pair(f"good-{number:04d}")


def split(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """The good samples that were put in, and all other rows."""
    put_in = [row for row in rows if row["key"].startswith("good-") and row["reason"] is None]
    return put_in, [row for row in rows if row not in put_in]


def test_there_are_more_than_sixty_bad_kinds() -> None:
    kinds = [kind.rows for kind in STRETCHES.values()] + [kind.rows for kind in CHANGES.values()]
    assert len([rows for rows in kinds if any(rows)]) >= 60


@pytest.mark.parametrize("name", STRETCHES)
def test_a_bad_stretch_costs_no_good_sample(tmp_path: Path, name: str) -> None:
    kind = STRETCHES[name]
    stretch = kind.make("bad")
    data = good(0) + good(1) + stretch + good(2) + good(3) + END
    put_in, others = split(ingest_bytes(tmp_path, data, OPTIONS))
    assert [row["key"] for row in put_in] == [f"good-{i:04d}" for i in range(4)]
    assert [row["reason"] for row in others] == list(kind.rows)
    for row in others:
        if row["reason"] is not None:
            assert row["message"]
            start = len(good(0) + good(1))
            assert start <= row["error_offset"] <= start + len(stretch)
        else:
            assert row["sha256"] is not None


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_tar_keeps_what_is_whole(tmp_path: Path, name: str) -> None:
    kind = CHANGES[name]
    data = kind.change(b"".join(map(good, range(6))) + END)
    put_in, others = split(ingest_bytes(tmp_path, data, OPTIONS))
    kept = 0 if kind.lost < 0 else 6 - kind.lost
    assert [row["key"] for row in put_in] == [f"good-{i:04d}" for i in range(kept)]
    assert [row["reason"] for row in others] == list(kind.rows)
    walk(data, max_member_bytes=bad_inputs.MAX_MEMBER_BYTES)


def test_all_kinds_at_once_are_counted(tmp_path: Path) -> None:
    """Every kind in one tar, in a seeded order, three good samples before each."""
    names = sorted(set(STRETCHES) - {"a key of an earlier sample"})
    random.Random(7).shuffle(names)
    data, expected = b"", Counter[str | None]()
    for place, name in enumerate(names):
        data += b"".join(good(3 * place + i) for i in range(3))
        data += STRETCHES[name].make(f"bad{place:03d}")
        expected.update([None] * 3)
        expected.update(reason and str(reason) for reason in STRETCHES[name].rows)
    rows = ingest_bytes(tmp_path, data + END, OPTIONS)
    assert Counter(row["reason"] for row in rows) == expected
    assert [row["key"] for row in split(rows)[0]] == [
        f"good-{i:04d}" for i in range(3 * len(names))
    ]
