"""Pictures become the same batches wherever they are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tamis.pipeline import encoders
from tamis.pipeline.inputs.images import to_rgb
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.embed import decoding
from tamis.pipeline.steps.embed.decoding import Decoding
from tamis.pipeline.steps.embed.step import Embed
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.parts import Parts
from tamis.pipeline.tasks.task import Ahead
from tamis.schemas.parse import parse_job
from tamis.schemas.scope import Scope
from tests.support.pictures import encode, noise
from tests.support.records import files_of
from tests.support.running import picture

SIZE = 4
LARGE = 2 * decoding._PIECE + 1


def by_itself(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """As decoding tasks do it: nothing but the function and an item reach them."""
    return iter([function(item) for item in items])


@pytest.mark.parametrize(("device", "ahead"), [("cpu", map), ("cuda", map), ("cuda", by_itself)])
@pytest.mark.parametrize(
    ("count", "size"), [(0, SIZE), (3, SIZE), (4, SIZE), (11, SIZE), (2 * LARGE + 1, LARGE)]
)
def test_batches_are_the_pictures_in_order(
    device: str, ahead: Ahead, count: int, size: int
) -> None:
    preprocessing = encoders.describe("demo").preprocessing
    assert preprocessing is not None
    pictures = [picture(number) for number in range(count)]
    how = Decoding(size, 10**6, shrink=False, beside_gpu=device == "cuda")
    made = list(decoding.batches(iter(pictures), preprocessing, how, ahead))
    assert [len(batch) for batch in made] == [
        min(size, count - start) for start in range(0, count, size)
    ]
    wanted = [preprocessing.pixels(to_rgb(data)) for data in pictures]
    found = [one for batch in made for one in batch]
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_what_is_large_is_decoded_smaller_where_the_job_asks_for_it() -> None:
    preprocessing = encoders.describe("demo").preprocessing
    assert preprocessing is not None
    pictures = [encode(noise(900, 700), "JPEG"), encode(noise(300, 300), "JPEG"), picture(1)]
    made = {}
    for way in ("full", "shrink"):
        how = Decoding(SIZE, 10**6, shrink=way == "shrink", beside_gpu=False)
        (made[way],) = decoding.batches(iter(pictures), preprocessing, how)
    same = [bool((a == b).all()) for a, b in zip(made["full"], made["shrink"], strict=True)]
    assert same == [False, True, True]


def test_a_job_that_decodes_in_full_is_known_as_before_there_was_a_choice() -> None:
    text = "name: a\ninput: [{path: a.tar}]\noutput: b\nsteps: [{embed: {encoder: demo%s}}]"
    parts, file = Parts.of([(0, 0, 1)]), InputFile("e", "x.tar", "x.tar", "tar", 1)
    rows = Done(Scope.PART, files_of([1])).by_part(parts, [])
    context: Any = SimpleNamespace(
        parts=parts, inputs=[file], ingest=lambda: rows, drops=list, at=lambda *_: rows
    )
    for more, told in (("", None), (", decoder: full", None), (", decoder: shrink", "shrink")):
        job = parse_job(text % more, "job")
        vectors, _ = Embed(job.embeds[0], job).phases(context)
        assert vectors.tasks[0].args.decoder == told
