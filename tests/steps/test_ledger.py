from __future__ import annotations

import random

import pyarrow as pa
import pytest

from tamis.pipeline.steps.ledger import hexadecimal
from tamis.schemas.tables import UID

UIDS = [None if number % 3 == 0 else random.Random(number).randbytes(16) for number in range(20)]


@pytest.mark.parametrize(
    ("uids", "start", "stop"),
    [(UIDS, 0, 20), (UIDS, 4, 11), (UIDS[1:3], 1, 2), ([None] * 3, 0, 3), (UIDS, 7, 7)],
)
def test_uids_are_written_as_hex_digits(uids: list[bytes | None], start: int, stop: int) -> None:
    column = pa.chunked_array([pa.array(uids, UID).slice(start, stop - start)])
    found = hexadecimal(column)
    found.validate(full=True)
    assert found.to_pylist() == [uid and uid.hex() for uid in uids[start:stop]]


def test_a_column_in_no_pieces_or_in_several_is_written_whole() -> None:
    assert hexadecimal(pa.chunked_array([], UID)).to_pylist() == []
    pieces = pa.chunked_array([pa.array(UIDS[:5], UID), pa.array(UIDS[5:], UID)])
    assert hexadecimal(pieces).to_pylist() == [uid and uid.hex() for uid in UIDS]
