"""Pictures that stand in another run are opened once more, and small cells decide, as in `near_pictures`."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.steps.exclude import second_look
from tamis.schemas.errors import StateError
from tests.support import duplicates
from tests.support.excluding import left_out, other_run, run
from tests.support.pictures import encode, noise
from tests.support.running import Sample, ledger, write_tar

MOST = "within: 16, difference: 1.0"


def marked(base: int, mark: int, side: int = 128) -> Image.Image:
    """One of a few pictures; with a mark of two by three pixels, whose place is another in each."""
    pixels = np.array(noise(side, side, seed=base))
    if mark:
        top, left = 8 * (mark % 13) + 5, 8 * (mark // 13) + 5
        pixels[top : top + 2, left : left + 3] = 255 if pixels[top, left].mean() < 128 else 0
    return Image.fromarray(pixels)


def made(number: int, image: Image.Image, form: str = "PNG") -> Sample:
    fields = {"uid": f"{number:032x}"}
    return Sample(f"k{number:03d}", encode(image, form), f"caption {number}", fields)


LISTED = [made(100 + number, marked(number % 3, number)) for number in range(12)]
POOL = [
    *(made(number, marked(number, 40)) for number in range(2)),  # another mark than any listed one
    made(2, marked(2, 8)),  # the pixels of a listed one
    made(3, marked(0, 9), "JPEG"),
    made(4, marked(9, 9)),
    made(5, marked(1, 0, side=40)),  # too small for a look
]


def test_a_picture_that_small_cells_tell_from_every_listed_one_stays(tmp_path: Path) -> None:
    other = other_run(tmp_path, LISTED)
    rows = run(tmp_path, f"{{list: {other}, on: phash}}", samples=POOL)
    assert left_out(rows) == [2, 3, 5]
    assert rows[2]["partner_uid"] == LISTED[8].fields["uid"]
    finished = open_run(str(tmp_path / "run"))
    change = whatif(finished, ["exclude.detail=null"])
    assert (change.came, change.went) == (0, 2)
    assert left_out(run(tmp_path, f"{{list: {other}, on: phash, detail: null}}")) == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("held", [1 << 14, 7])
def test_every_pair_is_judged_as_by_all_pairs(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_look, "HELD", held)
    monkeypatch.setattr(second_look, "_PAIRS", 5)
    draw = random.Random(held)
    pool = [
        made(n, marked(draw.randrange(4), draw.randrange(30)), draw.choice(["PNG", "JPEG"]))
        for n in range(30)
    ]
    other = other_run(tmp_path, LISTED)
    rows = run(tmp_path, f"{{list: {other}, on: phash, {MOST}}}", samples=pool)
    listed = duplicates.stored(other)
    both = [*duplicates.stored(tmp_path / "run"), *listed]
    raw = {one.fields["uid"]: one.image for one in [*pool, *LISTED]}
    a, b, bits = duplicates.alike_pictures(both, 16, 1.0, raw)
    crossing = (a < len(pool)) & (b >= len(pool))
    found = {row: int(bits[crossing & (a == row)].min()) for row in a[crossing].tolist()}
    assert 0 < len(found) < len(pool)
    assert {int(row["uid"], 16): row["value"] for row in rows if row["step"]} == found


def test_an_input_of_the_list_that_is_gone_is_told_with_the_mend(tmp_path: Path) -> None:
    other = other_run(tmp_path, LISTED[:2])
    settings = f"{{list: {other}, on: phash"
    shutil.move(tmp_path / "other-in", tmp_path / "away")
    with pytest.raises(
        StateError, match=r"cannot be opened again \(.*other-in.* with `detail: null`"
    ):
        run(tmp_path, f"{settings}}}", samples=POOL)
    with pytest.raises(StateError) as raised:
        run(tmp_path, f"{settings}, reveal: false}}")
    assert "other" not in str(raised.value)
    assert left_out(run(tmp_path, f"{settings}, detail: null}}")) != []


def test_a_listed_picture_that_has_changed_is_told(tmp_path: Path) -> None:
    other = other_run(tmp_path, LISTED[:2])
    changed = [replace(one, image=POOL[4].image) for one in LISTED[:2]]
    write_tar(tmp_path / "other-in/0.tar", changed)
    with pytest.raises(
        StateError, match=r"has changed since it was ingested.*bring its input back"
    ):
        run(tmp_path, f"{{list: {other}, on: phash}}", samples=POOL)
    assert not (tmp_path / "run/manifest.json").exists()


def test_an_unrevealed_run_decides_as_one_that_is_shown(tmp_path: Path) -> None:
    other = other_run(tmp_path, LISTED)
    run(tmp_path, f"{{list: {other}, on: phash, reveal: false}}", samples=POOL)
    rows = ledger(tmp_path / "run")
    assert left_out(rows) == [2, 3, 5]
    assert {row["partner_uid"] for row in rows} == {None}
