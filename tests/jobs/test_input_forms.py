"""Every form in which people have pairs is read, or named with what to do: by `init`, and by `plan` of a plain job.

The forms are generated: containers, each with several ways to hold the captions and the pictures.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather, orc

from tamis.jobs.job_files.draft import fitted
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.runs import plan
from tamis.schemas.errors import JobError, TamisError
from tamis.schemas.parse import parse_job
from tests.support.pictures import encode, noise
from tests.support.running import ledger, make_plan, run_here
from tests.support.tars import make_tar

COUNT = 4
PICTURES = [encode(noise(64, 70, seed=i), "PNG") for i in range(COUNT)]
CAPTIONS = [f"picture number {i}" for i in range(COUNT)]
LISTS = [[caption, f"{caption} again"] for caption in CAPTIONS]

Write = Callable[[Path], None]


class Form(NamedTuple):
    """A form of input: how it is written, and a piece of what is said of it (or None where it is read as it is)."""

    name: str
    write: Write
    init: str | None = None
    planned: str | None = None


def tar(**members: Sequence[str | bytes]) -> Write:
    """A tar of samples with these members, by their suffixes."""

    def write(folder: Path) -> None:
        named = []
        for i in range(COUNT):
            for suffix, values in members.items():
                data = values[i]
                named.append((f"{i}.{suffix}", data.encode() if isinstance(data, str) else data))
        (folder / "0.tar").write_bytes(make_tar(named))

    return write


def parquet(**columns: Any) -> Write:
    """A parquet file of these columns, pictures of the names `i.png` beside it."""

    def write(folder: Path) -> None:
        beside(folder)
        pq.write_table(pa.table(columns), folder / "0.parquet")

    return write


def beside(folder: Path) -> None:
    for i, data in enumerate(PICTURES):
        (folder / f"{i}.png").write_bytes(data)


def lines(**columns: Sequence[Any]) -> Write:
    def write(folder: Path) -> None:
        beside(folder)
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "metadata.jsonl").write_text(text)

    return write


def table(**columns: Sequence[str]) -> Write:
    def write(folder: Path) -> None:
        beside(folder)
        rows = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
        (folder / "metadata.csv").write_text("\n".join(rows))

    return write


def photos(suffix: str, texts: Sequence[str]) -> Write:
    def write(folder: Path) -> None:
        beside(folder)
        for i, text in enumerate(texts):
            (folder / f"{i}.{suffix}").write_text(text)

    return write


PATHS = [f"{i}.png" for i in range(COUNT)]
STRUCTS = pa.array([{"bytes": data, "path": None} for data in PICTURES])
ONLY_PATHS = pa.array(
    [{"bytes": None, "path": path} for path in PATHS],
    pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
)
JSON = [json.dumps({"caption": text}) for text in CAPTIONS]
INSTEAD = "# columns: {{text: {0}}}  # instead, if {0} is the caption"
NAMED = "columns: {image: image_path}"

FORMS = (
    Form("a tar of png and txt", tar(png=PICTURES, txt=CAPTIONS)),
    Form("a tar with the caption in json", tar(png=PICTURES, json=JSON)),
    Form(
        "a tar of captions of another name",
        tar(png=PICTURES, caption=CAPTIONS),
        INSTEAD.format("caption"),
        "no caption among the members: png, caption; a job takes another name by `columns: {text: NAME}`",
    ),
    Form(
        "a tar with lists of captions in json",
        tar(png=PICTURES, json=[json.dumps({"captions": texts}) for texts in LISTS]),
        f"{INSTEAD.format('captions')}; of a list say captions: first",
        "the json has captions; a job takes another name by `columns: {text: NAME}`",
    ),
    Form(
        "a tar of pictures of another name",
        tar(img=PICTURES, txt=CAPTIONS),
        "among the members: img, txt; a job takes other names by `columns: {image: NAME",
        "among the members: img, txt; a job takes other names by `columns: {image: NAME",
    ),
    Form(
        "a tar of pictures of a kind that is not decoded",
        tar(heic=PICTURES, txt=CAPTIONS),
        "heic is not decoded, convert it to jpg, png or webp",
        "heic is not decoded, convert it to jpg, png or webp",
    ),
    Form(
        "a tar of classes",
        tar(png=PICTURES, cls=["3"] * COUNT),
        INSTEAD.format("cls"),
        "or none by `captions: none`",
    ),
    Form("Hugging Face's structs", parquet(image=STRUCTS, text=CAPTIONS)),
    Form("bytes", parquet(image_bytes=PICTURES, alt_text=CAPTIONS)),
    Form(
        "lists of captions",
        parquet(image=STRUCTS, caption=LISTS),
        "captions: first",
        "of a list say `captions: first` or `captions: each`",
    ),
    Form(
        "numbered captions",
        parquet(image=STRUCTS, caption_0=CAPTIONS, caption_1=CAPTIONS),
        INSTEAD.format("caption_1"),
        "it has image (struct<bytes: binary, path: null>), caption_0 (string), caption_1 (string): "
        "name it: `columns: {text: NAME}`",
    ),
    Form("structs of paths alone", parquet(image=ONLY_PATHS, text=CAPTIONS)),
    Form("paths in place of pictures", parquet(image=PATHS, text=CAPTIONS)),
    Form("paths in a column", parquet(image_path=PATHS, text=CAPTIONS), NAMED, NAMED),
    Form(
        "paths of pictures that are elsewhere",
        parquet(image=[f"there/{path}" for path in PATHS], text=CAPTIONS),
        "put the pictures below the table's folder",
        "put the pictures below the table's folder",
    ),
    Form("JSON lines of paths", lines(file_name=PATHS, text=CAPTIONS)),
    Form(
        "JSON lines of Hugging Face's structs",
        lines(image=[{"bytes": None, "path": path} for path in PATHS], text=CAPTIONS),
    ),
    Form(
        "JSON lines of lists",
        lines(file_name=PATHS, text=LISTS),
        "captions: first",
        "say `captions: first` or `captions: each`",
    ),
    Form("CSV of paths", table(filepath=PATHS, caption=CAPTIONS)),
    Form(
        "CSV of titles",
        table(filepath=PATHS, title=CAPTIONS),
        INSTEAD.format("title"),
        "it has filepath, title: name it: `columns: {text: NAME}`",
    ),
    Form("a folder", photos("txt", CAPTIONS)),
    Form(
        "a folder with captions of another name",
        photos("caption", CAPTIONS),
        "captions: none",
        "or none by `captions: none`",
    ),
    Form("a folder of pictures alone", photos("txt", []), "captions: none", "`captions: none`"),
)


def said(function: Callable[[], str]) -> str:
    """What a call says, in its result or in its error."""
    try:
        return function()
    except TamisError as error:
        return str(error)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_init_fits_a_job_or_says_what_to_do(tmp_path: Path, form: Form) -> None:
    form.write(tmp_path)
    text = said(lambda: fitted([str(tmp_path)]))
    assert form.init is None or form.init in text
    if form.init is None:
        assert ("captions:" in text, "columns:" in text) == (False, False)
        assert parse_job(text, "fitted").steps[0].names == ("words", "min_side", "aspect_ratio")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_plan_says_of_a_plain_job_what_would_drop_all(tmp_path: Path, form: Form) -> None:
    form.write(tmp_path)
    job = f"name: a\ninput: {tmp_path}\noutput: {tmp_path}-run\nsteps: [write]"
    text = said(lambda: "\n".join(preview(plan.make(parse_job(job, "job")))["notes"]))
    assert text == "" if form.planned is None else form.planned in text


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_what_plan_says_is_what_a_run_does(tmp_path: Path, form: Form) -> None:
    (tmp_path / "in").mkdir()
    form.write(tmp_path / "in")
    try:
        made = make_plan(tmp_path / "run", tmp_path / "in", "\n  - write")
        notes = "\n".join(preview(made)["notes"])
        run_here(made)
    except TamisError:  # the plan refuses it, or the end of a run that keeps nothing
        notes = "can be used"
    rows = ledger(tmp_path / "run") if (tmp_path / "run/ledger").exists() else []
    assert any(row["kept"] for row in rows) == ("can be used" not in notes)


def stream(rows: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(str(path), rows.schema) as out:
        out.write_table(rows)


TABLES: dict[str, Callable[[pa.Table, Path], None]] = {
    "orc": lambda rows, path: orc.write_table(rows, str(path)),
    "stream.arrow": stream,
    "feather": lambda rows, path: feather.write_feather(rows, str(path)),
    "arrow": lambda rows, path: feather.write_feather(rows, str(path)),
    "pkl": lambda rows, path: rows.to_pandas().to_pickle(path),
}


@pytest.mark.parametrize("ending", TABLES)
def test_the_advice_for_a_table_is_a_command_that_makes_it_readable(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"x.{ending}"
    TABLES[ending](pa.table({"text": CAPTIONS, "image": PICTURES}), path)
    advice = said(lambda: fitted([str(path)]))
    command = re.search(r"python -c \"(.*)\"", advice)
    assert command is not None
    subprocess.run([sys.executable, *shlex.split(command[0])[1:]], check=True)
    (made,) = tmp_path.glob("*.parquet")
    assert "# Columns: image is image, text is text." in fitted([str(made)])


def test_a_set_that_datasets_has_saved_becomes_parquet_by_one_command(tmp_path: Path) -> None:
    kept = datasets.Dataset.from_dict({"text": CAPTIONS, "image": PICTURES})
    kept.save_to_disk(str(tmp_path / "kept"))
    advice = said(lambda: fitted([str(tmp_path / "kept")]))
    command = re.search(r"python -c \"(.*)\"", advice)
    assert command is not None
    subprocess.run([sys.executable, *shlex.split(command[0])[1:]], check=True)
    assert "# Columns: image is image, text is text." in fitted([str(tmp_path / "kept.parquet")])


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.tar"])
def test_the_advice_for_a_packed_file_is_a_command_that_unpacks_it(
    tmp_path: Path, name: str, ending: str
) -> None:
    {
        "x.csv": table(text=CAPTIONS, url=PATHS),
        "x.parquet": parquet(image=STRUCTS, text=CAPTIONS),
    }.get(name, tar(png=PICTURES, txt=CAPTIONS))(tmp_path)
    (written,) = (p for p in tmp_path.iterdir() if p.suffix != ".png")
    packed = tmp_path / f"{name}.{ending}"
    packed.write_bytes(PACK[ending](written.read_bytes()))
    written.unlink()
    advice = said(lambda: fitted([str(packed)]))
    subprocess.run(shlex.split(advice.rpartition("unpack it first: ")[2]), check=True)
    assert "4 samples." in fitted([str(tmp_path / name)])


def test_paths_of_a_column_are_read_where_the_pictures_are_there(tmp_path: Path) -> None:
    parquet(image_path=PATHS, filename=[f"{path}.raw" for path in PATHS], text=CAPTIONS)(tmp_path)
    text = fitted([str(tmp_path)])
    assert "columns: {image: image_path}" in text
    assert "near_duplicates: {jaccard: 0.8, agree: phash}" in text
    plan.make(parse_job(text, "fitted"))
    for path in tmp_path.glob("*.png"):
        path.unlink()
    note = "# input/0.parquet: image_path seems to hold pictures"
    assert note in fitted([str(tmp_path)])


def test_names_that_yaml_reads_otherwise_are_quoted(tmp_path: Path) -> None:
    parquet(**{"file_name": PATHS, "the: caption #1": CAPTIONS})(tmp_path)
    text = fitted([str(tmp_path)])
    assert '# columns: {image: file_name, text: "the: caption #1"}' in text


def test_a_step_above_what_it_needs_is_told_where_to_go(tmp_path: Path) -> None:
    tar(png=PICTURES, txt=CAPTIONS)(tmp_path)
    steps = "\n  - near_duplicates: {agree: embedding}\n  - embed: {encoder: demo}\n  - write"
    below = (
        "`embed` makes it, which stands below: move near_duplicates below it, or say `agree: phash`"
    )
    with pytest.raises(JobError, match=below):
        make_plan(tmp_path / "run", tmp_path / "*.tar", steps)
    steps = "\n  - rules: {words: {min: 5}}\n  - signals: [words]\n  - write"
    with pytest.raises(JobError, match="`signals` makes it, which stands below: move rules below"):
        make_plan(tmp_path / "run", tmp_path / "*.tar", steps)


def test_signals_of_pictures_that_are_not_read_name_their_column(tmp_path: Path) -> None:
    parquet(filepath=PATHS, text=CAPTIONS)(tmp_path)
    steps = "\n  - signals: [min_side]\n  - write"
    with pytest.raises(JobError, match=r"min_side needs width.*filepath seems to hold pictures"):
        make_plan(tmp_path / "run", tmp_path / "*.parquet", steps)


def test_a_name_of_a_job_is_refused_in_words() -> None:
    with pytest.raises(JobError, match=r"such as `my-job`, got 'My Job'$"):
        parse_job("name: My Job\ninput: x.tar\noutput: o\nsteps: [write]", "job.yaml")
