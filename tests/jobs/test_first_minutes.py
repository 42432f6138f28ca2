"""The first commands of a newcomer: a job that fits their files, presets, the version, advice for common slips."""

from __future__ import annotations

import io
import json
import tarfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.cli.app import main
from tamis.jobs.commands.run import losses, uncaptioned
from tamis.jobs.job_files.draft import fitted
from tamis.jobs.job_files.load import Request, load
from tamis.jobs.job_files.template import template
from tamis.jobs.terminal.patience import look_for_weights, told_after, weights_of
from tamis.pipeline import encoders
from tamis.pipeline.audit.reading.funnel import Funnel
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.runs import plan
from tamis.schemas.errors import InputError, JobError, ModelError
from tamis.schemas.manifest import StepCount
from tamis.schemas.parse import parse_job
from tests.support.pictures import encode, noise
from tests.support.running import Sample, ledger, picture, run_here, write_tar


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def pairs(folder: Path, count: int = 60) -> Path:
    """Noise of 70 x 64 pixels, no two alike, with captions of three words; every tenth has one word."""
    write_tar(
        folder / "0.tar",
        [
            Sample(
                f"{i:04d}",
                encode(noise(64, 70, seed=i), "PNG"),
                f"picture number {i}" if i % 10 else "x",
                {"licence": "cc-by"},
            )
            for i in range(count)
        ],
    )
    return folder / "*.tar"


def test_init_into_a_file_writes_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    Path("job.yaml").touch()  # as the shell does for `>`
    assert ended(capsys, "init") == (0, template(), "")
    assert ended(capsys, "init", "job.yaml")[0] == 0
    assert parse_job(Path("job.yaml").read_text(), "job.yaml").steps
    code, _, err = ended(capsys, "init", "job.yaml")
    assert (code, "is there already" in err) == (2, True)


def test_the_template_filters_by_a_share_of_its_encoders_similarity() -> None:
    job = parse_job(template(), "template")
    kinds = [step.kind for step in job.steps]
    score = job.steps[kinds.index("score")]
    assert kinds.index("embed") < kinds.index("score") < kinds.index("semantic_duplicates")
    assert (score.signal, score.kept_count) == ("clip_similarity", None)


def test_the_version_and_short_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, "--version")[1].startswith("tamis 0.")
    assert "Usage:" in ended(capsys, "-h")[1]
    assert "--output" in ended(capsys, "run", "-h")[1]


def test_presets_are_listed_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ended(capsys, "presets", "--json")
    assert code == 0
    for name, about in json.loads(out).items():
        assert about
        assert f"name: {name}" in ended(capsys, "init", "--preset", name)[1]
    assert "did you mean `dbp`" in ended(capsys, "init", "--preset", "dpb")[2]


def test_an_unquoted_pattern_is_told_to_be_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.tar", "b.tar"):
        Path(name).touch()
    code, _, err = ended(capsys, "plan", "dbp", "--input", "a.tar", "b.tar", "--output", "x")
    assert (code, "quote it: --input '*.tar'" in err) == (2, True)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.json", "a.json: it is empty"),
        ("a.orc", "a.orc').to_parquet('"),
        ("a.feather", "a.feather').to_parquet('"),
        (
            "a.jpg",
            "read by their folder, in which 1.jpg lies beside its caption 1.txt: name that: ",
        ),
        ("a.tar.gz", "unpack it first"),
        ("a.tgz", "unpack it first"),
    ],
)
def test_what_is_not_read_is_named_with_the_way_to_convert_it(
    capsys: pytest.CaptureFixture[str], name: str, advice: str
) -> None:
    Path(name).touch()
    code, _, err = ended(capsys, "plan", "dbp", "--input", name, "--output", "x")
    assert (code, advice in err) == (2, True)


def test_features_of_tars_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = str(pairs(tmp_path / "in"))
    _, _, err = ended(capsys, "plan", "datacomp-medium", "--input", pattern, "--output", "x")
    assert "`features: true` is for parquet" in err


def test_a_fitted_job_of_tars(tmp_path: Path) -> None:
    text = fitted([str(pairs(tmp_path / "photos"))])
    job = parse_job(text, "fitted")
    assert "licence" in text
    assert job.name == "photos"
    bounds = job.steps[1].bounds
    assert {name: (bound.least, bound.max) for name, bound in bounds.items()} == {
        "words": (1.0, None),  # two words would drop a tenth
        "min_side": (64.0, None),
        "aspect_ratio": (None, 3.0),
    }
    kinds = [step.kind for step in job.steps]
    assert kinds[-1] == "write"
    assert "density" not in kinds  # of sixty pairs
    assert "rules" not in kinds[2:]  # what a similarity means depends on the encoder
    plan.make(job)


def test_a_fitted_job_of_metadata_takes_the_embeddings_beside_it(tmp_path: Path) -> None:
    for name in ("metadata", "img_emb", "text_emb"):
        (tmp_path / name).mkdir()
    rows = 500
    table = pa.table(
        {
            "URL": [f"https://example.org/{i}" for i in range(rows)],
            "TEXT": [f"caption number {i}" for i in range(rows)],
            "WIDTH": [300] * rows,
            "HEIGHT": [200] * rows,
            "punsafe": np.linspace(0, 1, rows),
        }
    )
    pq.write_table(table, tmp_path / "metadata/metadata_0.parquet")
    vectors = np.random.default_rng(0).normal(size=(rows, 16)).astype(np.float16)
    for name in ("img_emb", "text_emb"):
        np.save(tmp_path / name / f"{name}_0.npy", vectors)
    text = fitted([str(tmp_path / "metadata/*.parquet")])
    job = parse_job(text, "fitted")
    assert job.input[0].image_embeddings == str(tmp_path / "img_emb/*.npy")
    assert job.input[0].text_embeddings == str(tmp_path / "text_emb/*.npy")
    assert "text is TEXT" in text
    assert job.steps[1].bounds["punsafe"].max == 0.5
    assert [step.kind for step in job.steps][2:] == [
        "exact_duplicates",
        "embed",
        "near_duplicates",
        "score",
        "semantic_duplicates",
        "density",
        "write",
    ]
    plan.make(job)


def test_a_fitted_job_of_parquet_with_pictures(tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    images = [{"bytes": picture(i, 40, 40), "path": f"{i}.png"} for i in range(20)]
    table = pa.table({"image": images, "caption": [f"picture number {i}" for i in range(20)]})
    pq.write_table(table, tmp_path / "hf/train-00000-of-00001.parquet")
    job = parse_job(fitted([str(tmp_path / "hf/*.parquet")]), "fitted")
    assert job.steps[1].bounds["min_side"].least == 32
    assert any(step.kind == "embed" for step in job.steps)
    plan.make(job)


def test_a_step_that_drops_more_than_half_is_named() -> None:
    steps = parse_job(
        "name: a\ninput: x.tar\noutput: o\n"
        "steps: [{signals: [words]}, {rules: {words: {min: 2}}}, {score: {signal: words, keep: 0.1}}]",
        "job",
    ).steps
    counts = (
        StepCount(step="rules", entered=100, dropped={"below_minimum": 60, "no_value": 1}, kept=39),
        StepCount(step="score", entered=39, dropped={"not_chosen": 36}, kept=3),
    )
    (line,) = losses(steps, Funnel(100, 3, counts))
    assert line.startswith("note: rules dropped 61 of 100 (61.0%), most as below_minimum")


def test_pictures_without_captions_are_told_how_to_stay() -> None:
    def told(bare: int) -> list[str]:
        dropped = {"missing_caption": bare, "truncated_image": 50}
        return [
            *uncaptioned(
                Funnel(100, 3, (StepCount(step="ingest", entered=100, dropped=dropped, kept=3),))
            )
        ]

    assert told(10) == []
    (line,) = told(11)
    assert line.startswith("note: 11 of 100 samples have no caption: `captions: none`")


def test_a_column_of_paths_is_said_not_to_be_read(tmp_path: Path) -> None:
    table = pa.table({"image_path": ["1.jpg"], "caption": ["two words"]})
    pq.write_table(table, tmp_path / "0.parquet")
    text = f"name: a\ninput: {tmp_path}\noutput: {tmp_path}-run\nsteps: [write]"
    (note,) = preview(plan.make(parse_job(text, "job")))["notes"]
    assert note.startswith("input/0.parquet: image_path seems to hold pictures")


def photos(folder: Path, count: int, captions: int) -> Path:
    """A person's pictures, the first of them with a caption beside; the last is a copy of the first."""
    folder.mkdir()
    for i in range(count):
        data = encode(noise(64, 70, seed=i % (count - 1)), "JPEG")
        (folder / f"IMG_{i:02d}.jpg").write_bytes(data)
        if i < captions:
            (folder / f"IMG_{i:02d}.txt").write_text(f"picture number {i}")
    return folder


@pytest.mark.parametrize(("captions", "said"), [(40, "one"), (3, "none"), (0, "none")])
def test_a_fitted_job_of_a_folder_of_pictures(tmp_path: Path, captions: int, said: str) -> None:
    job = parse_job(fitted([str(photos(tmp_path / "photos", 40, captions))]), "fitted")
    assert job.input[0].captions == said
    kinds = [step.kind for step in job.steps]
    assert ("near_pictures" in kinds, "score" in kinds) == (said == "none", said == "one")
    assert ("words" in job.steps[0].names) == (said == "one")
    plan.make(job)


def test_a_fitted_job_of_lists_of_captions(tmp_path: Path) -> None:
    images = [encode(noise(64, 70, seed=i), "PNG") for i in range(5)]
    captions = [[f"caption {i}", "another one"] for i in range(5)]
    pq.write_table(pa.table({"image": images, "text": captions}), tmp_path / "x.parquet")
    text = fitted([str(tmp_path / "x.parquet")])
    assert "captions: first  # of each list the first; each: a sample for every caption" in text
    plan.make(parse_job(text, "fitted"))


def test_a_fitted_job_of_a_list_of_pictures(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 6, 0)
    lines = ["file_name,text"] + [f"IMG_{i:02d}.jpg,picture number {i}" for i in range(6)]
    (folder / "metadata.csv").write_text("\n".join(lines))
    text = fitted([str(folder)])
    assert "image is file_name" in text
    plan.make(parse_job(text, "fitted"))


def test_files_without_a_usable_sample_are_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="has no column for `text`; it has a"):
        fitted([str(tmp_path / "x.parquet")])


def test_a_folder_is_curated_without_a_job(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 12, 12)
    request = Request(None, [f"{folder}/"], str(tmp_path / "out"))
    run_here(plan.make(load(request)))
    rows = ledger(tmp_path / "out")
    assert len(rows) == 12
    assert [row["reason"] for row in rows].count("same_image") == 1
    (folder / "IMG_00.txt").unlink()  # the same command goes on with the same job
    assert load(request) == parse_job((tmp_path / "out/job.yaml").read_text(), "job.yaml")


def test_a_run_without_job_and_input_is_told_what_to_name() -> None:
    with pytest.raises(JobError, match="or --input for the job that fits it"):
        load(Request(None))


def other_names(path: Path, picture_suffix: str) -> str:
    """A tar whose captions stand in members of another name."""
    with tarfile.open(path, "w") as tar:
        for i in range(5):
            members = {picture_suffix: encode(noise(64, 70, seed=i), "PNG"), "cap": b"a caption"}
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{i}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return str(path)


def test_a_fitted_job_names_members_that_may_be_the_caption(tmp_path: Path) -> None:
    text = fitted([other_names(tmp_path / "x.tar", "png")])
    assert "# columns: {text: cap}  # instead, if cap is the caption" in text
    named = text.replace("    captions: none", "    #").replace("# columns:", "columns:")
    job = parse_job(named, "fitted")
    assert (job.input[0].columns, job.input[0].captions) == ({"text": ("cap",)}, "one")


def test_members_of_other_names_are_told_how_to_be_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"img, cap; a job takes other names by `columns: \{image"):
        fitted([other_names(tmp_path / "x.tar", "img")])


def test_a_plan_that_looks_for_weights_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    head = "name: a\ninput: x.tar\noutput: o\nsteps: [embed: {encoder: "
    text = weights_of(parse_job(f"{head}'open_clip:ViT-B-32/openai'}}]", "job").embeds)
    assert text is not None
    assert text.startswith("looking for the weights of open_clip:ViT-B-32/openai: ")
    assert weights_of(parse_job(f"{head}demo}}]", "job").embeds) is None
    said = ""
    with told_after(text, 0.0):
        for _ in range(1000):
            said += capsys.readouterr().err
            if said:
                break
            time.sleep(0.01)
    assert text in said
    with told_after(text, 60.0), told_after(None, 0.0):
        pass
    assert capsys.readouterr().err == ""


def test_what_is_wrong_with_weights_is_said_by_who_needs_them(tmp_path: Path) -> None:
    encoder = f"timm:test_vit@{tmp_path}/gone.safetensors"
    text = f"name: a\ninput: x.tar\noutput: o\nsteps: [embed: {{encoder: '{encoder}'}}]"
    embed, *_ = steps = parse_job(text, "job").steps
    with pytest.raises(ModelError, match="no checkpoint file"):
        encoders.describe(embed.spec, embed.precision)
    look_for_weights(steps)
