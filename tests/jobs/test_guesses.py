"""Metadata under names of its own: `init` guesses URL, size and key beside the caption, and says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.draft import fitted
from tamis.pipeline.runs import plan
from tamis.schemas.errors import InputError
from tamis.schemas.parse import parse_job
from tests.jobs.test_odd_forms import sound
from tests.support.running import ledger, run_here

COUNT = 4
NUMBERS = range(COUNT)


def each(text: str) -> list[str]:
    return [text.format(n) for n in NUMBERS]


TITLES, PICTURES = each("a red house, {}"), each("https://live.example.org/{}.jpg")
PAGES, HASHED = each("https://example.org/photos/{}"), each("https://images.example.org/photo-{}")

YFCC: dict[str, Sequence[Any]] = {
    "photoid": [*NUMBERS], "uid": ["1234@N00"] * COUNT, "title": TITLES, "pageurl": PAGES, "downloadurl": PICTURES,
    "licenseurl": ["https://creativecommons.org/by.png"] * COUNT, "longitude": [0.5] * COUNT,
}  # fmt: skip
UNSPLASH: dict[str, Sequence[Any]] = {
    "photo_id": each("x{}"), "photo_url": PAGES, "photo_image_url": HASHED, "photo_width": [300] * COUNT,
    "photo_height": [200] * COUNT, "photo_description": TITLES,
}  # fmt: skip
REDCAPS: dict[str, Sequence[Any]] = {
    "image_id": each("a{}"), "url": PICTURES, "raw_caption": TITLES, "caption": TITLES, "permalink": ["/r/aww"] * COUNT,
}  # fmt: skip

SETS: dict[str, tuple[Mapping[str, Sequence[Any]], Mapping[str, str]]] = {
    "YFCC100M": (YFCC, {"text": "title", "uid": "none", "url": "downloadurl", "key": "photoid"}),
    "Unsplash": (
        UNSPLASH,
        {"text": "photo_description", "url": "photo_image_url", "width": "photo_width",
         "height": "photo_height", "key": "photo_id"},
    ),
    "RedCaps": (REDCAPS, {"key": "image_id"}),
    "short names": (
        {"text": TITLES, "img_w": [3] * COUNT, "img_h": [3] * COUNT, "link": PICTURES},
        {"url": "link", "width": "img_w", "height": "img_h"},
    ),
    "pages alone": ({"text": TITLES, "page_url": PAGES, "author_url": PAGES}, {}),
    "keys that are none": ({"text": TITLES, "url": PICTURES, "image_id": [7] * COUNT}, {}),
    "sizes of no pair": ({"text": TITLES, "url": PICTURES, "width_of_page": [3] * COUNT}, {}),
}  # fmt: skip


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
@pytest.mark.parametrize("name", SETS)
def test_columns_are_guessed_and_named_in_the_job(tmp_path: Path, name: str, ending: str) -> None:
    columns, expected = SETS[name]
    table = pa.table(dict(columns))
    if ending == "parquet":
        pq.write_table(table, tmp_path / "a.parquet")
    else:
        rows = (json.dumps(row) for row in table.to_pylist())
        (tmp_path / "a.jsonl").write_text("\n".join(rows))
    text = fitted([str(tmp_path)])
    job = parse_job(text, "job")
    assert {what: names[0] for what, names in job.input[0].columns.items()} == expected
    assert sound(text) == (COUNT, COUNT)
    assert plan.make(job).inputs
    on = "url_text" if "url" in {**columns, **expected} else "pair"
    assert f"exact_duplicates: {{on: {on}}}" in text


def test_a_column_that_another_table_lacks_is_no_guess(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": TITLES, "link": PICTURES}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": TITLES}), tmp_path / "b.parquet")
    text = fitted([f"{tmp_path}/*.parquet"])
    assert parse_job(text, "job").input[0].columns == {}
    assert sound(text) == (2 * COUNT, 2 * COUNT)


def test_a_picture_that_is_not_there_is_told_before_the_caption(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "A house."}]
    rows = [{"id": n, "image": f"coco/{n}.jpg", "conversations": turns} for n in NUMBERS]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1))
    with pytest.raises(
        InputError, match=r"missing_image: coco/0.jpg: there is no such file below the ta"
    ):
        fitted([str(tmp_path)])


@pytest.mark.parametrize(
    ("words", "bounded"),
    [(["UNLIKELY", "UNSURE", "NSFW", None], True), (["no", "yes", "no", "no"], False)],
)
def test_laions_word_for_unsafe_pictures_is_a_rule(
    tmp_path: Path, words: list[str | None], bounded: bool
) -> None:
    table = pa.table({"URL": PICTURES, "TEXT": TITLES, "NSFW": words, "ENG TEXT": TITLES})
    pq.write_table(table, tmp_path / "a.parquet")
    text = fitted([f"{tmp_path}/a.parquet"])
    assert "# May hold captions too: ENG TEXT." in text
    assert ("NSFW: {in: [UNLIKELY]}" in text) == bounded
    if bounded:
        job = parse_job(text, "job", [f"output={tmp_path}/run"])
        run_here(plan.make(job.model_copy(update={"steps": job.steps[:2]})))
        assert [row["kept"] for row in ledger(tmp_path / "run")] == [True, False, False, False]
