"""Metadata under the columns of well-known sets: `init` finds what is what, or says how to write it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.job_files.draft import fitted
from tamis.pipeline.runs import plan
from tamis.schemas.parse import parse_job
from tests.jobs.test_odd_forms import said, sound

COUNT = 3
TEXT, URL = "three plain words", "http://example.org/a.jpg"

KINDS = {"width": 300, "height": 300, "url": URL, "text": TEXT, "score": 0.3, "whole": 7}

SETS: dict[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    "LAION-400M": (
        {"SAMPLE_ID": "whole", "URL": "url", "TEXT": "text", "HEIGHT": "height", "WIDTH": "width",
         "LICENSE": "text", "NSFW": "text", "similarity": "score"},
        {"text": "TEXT", "url": "URL", "key": "SAMPLE_ID", "width": "WIDTH", "height": "HEIGHT"},
    ),
    "ReLAION-2B": (
        {"URL": "url", "TEXT": "text", "WIDTH": "width", "HEIGHT": "height", "similarity": "score",
         "hash": "whole", "punsafe": "score", "pwatermark": "score", "aesthetic": "score"},
        {"text": "TEXT", "url": "URL"},
    ),
    "LAION-COCO": (
        {"URL": "url", "TEXT": "text", "top_caption": "text", "similarity": "score",
         "WIDTH": "width", "HEIGHT": "height"},
        {"text": "TEXT"},
    ),
    "COYO-700M": (
        {"id": "whole", "url": "url", "text": "text", "width": "width", "height": "height",
         "image_phash": "text", "clip_similarity_vitb32": "score", "nsfw_score_opennsfw2": "score",
         "watermark_score": "score", "aesthetic_score_laion_v2": "score"},
        {"text": "text", "url": "url", "key": "id"},
    ),
    "RedCaps": (
        {"image_id": "text", "author": "text", "image_url": "url", "raw_caption": "text", "caption": "text",
         "subreddit": "whole", "score": "whole", "permalink": "text"},
        {"text": "caption", "url": "image_url"},
    ),
    "DataComp": (
        {"url": "url", "text": "text", "original_width": "width", "original_height": "height",
         "clip_b32_similarity_score": "score", "clip_l14_similarity_score": "score"},
        {"text": "text", "width": "original_width", "height": "original_height"},
    ),
    "Recap-DataComp": (
        {"url": "url", "re_caption": "text", "org_caption": "text", "key": "text", "re_clip_score": "score"},
        {"text": "re_caption", "url": "url", "key": "key"},
    ),
    "PD12M": (
        {"id": "text", "url": "url", "caption": "text", "width": "width", "height": "height",
         "mime_type": "text", "hash": "text", "license": "url", "source": "text"},
        {"text": "caption", "url": "url", "key": "id", "width": "width"},
    ),
    "CC12M of the hub": ({"image_url": "url", "caption": "text"}, {"text": "caption", "url": "image_url"}),
    "WIT": (
        {"language": "text", "page_url": "url", "image_url": "url", "page_title": "text",
         "caption_reference_description": "text", "caption_alt_text_description": "text",
         "original_height": "height", "original_width": "width", "context_page_description": "text"},
        {"text": "caption_reference_description", "url": "image_url", "width": "original_width"},
    ),
}  # fmt: skip
"""Set -> its columns, each with what it holds; and what is taken for what."""


@pytest.mark.parametrize("ending", ["parquet", "tsv"])
@pytest.mark.parametrize("name", SETS)
def test_the_columns_of_published_sets(tmp_path: Path, name: str, ending: str) -> None:
    columns, taken = SETS[name]
    path = tmp_path / f"x.{ending}"
    cells = {column: KINDS[kind] for column, kind in columns.items()}
    if ending == "parquet":
        pq.write_table(pa.table({column: [cell] * COUNT for column, cell in cells.items()}), path)
    else:
        row = "\t".join(map(str, cells.values())) + "\n"
        path.write_text("\t".join(cells) + "\n" + row * COUNT)
    text = fitted([str(path)])
    for what, column in taken.items():
        assert f"{what} is {column}" in text.splitlines()[1]
    assert ("a guess by its name" in text) == (taken["text"] not in {"TEXT", "text", "caption"})
    assert sound(text) == (COUNT, COUNT)
    assert plan.make(parse_job(text, "job")).inputs
    scores = [name for name in columns if "similarity" in name.lower()]
    assert [name for name in scores if f"signal: {name}, keep: 0.95" in text] == scores[:1]


HEADLESS = {
    "CC3M": ("tsv", f"{TEXT}\t{URL}\n"),
    "CC12M": ("tsv", f"{URL}\t{TEXT}\n"),
    "commas": ("csv", f'{URL},"{TEXT}, and more",5\n'),
}


@pytest.mark.parametrize("name", HEADLESS)
def test_the_header_that_is_missing_is_written_by_the_command_that_is_told(
    tmp_path: Path, name: str
) -> None:
    ending, row = HEADLESS[name]
    path = tmp_path / f"x.{ending}"
    path.write_text(row * COUNT)
    command = said(path).rpartition("write one: ")[2]
    subprocess.run(["bash", "-c", command], check=True)
    text = fitted([str(tmp_path / f"x-named.{ending}")])
    assert "text is caption, url is url" in text
    assert sound(text) == (COUNT, COUNT)
