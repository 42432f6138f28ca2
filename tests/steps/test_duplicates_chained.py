"""Several duplicate steps in a chain: what the ledger says of partners and survivors is true where it was said."""

from __future__ import annotations

import dataclasses
import io
import random
from pathlib import Path

from PIL import Image

from tests.support import duplicates
from tests.support.running import Sample, make_plan, read_tar, write_tar

STEPS = """
  - exact_duplicates: {on: pixels}
  - near_duplicates: {agree: phash, hamming: 6}
  - near_pictures: {hamming: 4}"""
CHAIN = ["ingest", "exact_duplicates", "near_duplicates", "near_pictures"]


def copied(sample: Sample, number: int) -> Sample:
    """A copy, in turn: of all, packed again, smaller, smaller and with another caption."""
    image = Image.open(io.BytesIO(sample.image)).convert("RGBA").convert("RGB")
    out = io.BytesIO()
    if number % 4 > 1:
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4))
    image.save(out, "PNG", compress_level=number % 2)
    text = f"something else, {number}" if number % 4 == 3 else sample.text
    fields = {key: value for key, value in sample.fields.items() if key != "uid"}
    return dataclasses.replace(
        sample, key=f"{sample.key}-{number}", image=out.getvalue(), text=text, fields=fields
    )


def test_partners_and_survivors_were_there_and_are_as_alike_as_is_said(
    clipart_example: Path, tmp_path: Path
) -> None:
    draw = random.Random(8)
    real = read_tar(clipart_example / "00000.tar")
    everything = real + [copied(draw.choice(real), number) for number in range(120)]
    write_tar(tmp_path / "a.tar", everything)
    rows = duplicates.run_in(make_plan(tmp_path / "run", tmp_path / "a.tar", STEPS))
    by_uid = {row["uid"]: row for row in rows}
    pixels = {s.key: Image.open(io.BytesIO(s.image)).convert("RGBA").tobytes() for s in everything}
    # The last place in the chain that each has come to alive.
    came_to = {
        uid: len(CHAIN) if row["kept"] else CHAIN.index(row["step"]) for uid, row in by_uid.items()
    }
    dropped = {step: [row for row in rows if row["step"] == step] for step in CHAIN}
    for position, step in enumerate(CHAIN):
        for row in dropped[step] if position else []:
            partner, survivor = by_uid[row["partner_uid"]], by_uid[row["survivor_uid"]]
            assert partner["uid"] != row["uid"] != survivor["uid"]
            assert partner["uid"] == survivor["uid"]
            assert came_to[survivor["uid"]] > position
            bits = (row["phash"] ^ partner["phash"]).bit_count()
            if step == "exact_duplicates":
                assert pixels[row["key"]] == pixels[partner["key"]] == pixels[survivor["key"]]
            elif step == "near_duplicates":
                value = duplicates.jaccard(row["text"], partner["text"])
                assert (row["partner_value"], bits <= 6) == (value, True)
                assert value >= 0.8
            else:
                assert row["partner_value"] == bits <= 4
    assert all(len(dropped[step]) > 10 for step in CHAIN[1:])
    # Some who survived one step are dropped by a later one: that is the next row to read.
    survived = {row["survivor_uid"] for step in CHAIN[1:] for row in dropped[step]}
    assert any(not by_uid[uid]["kept"] for uid in survived)
