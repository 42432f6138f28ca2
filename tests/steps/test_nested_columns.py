"""A field inside a json member or a struct as a signal: bound, explained, moved by what-if, written, searched."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.cli.app import main
from tamis.schemas.errors import JobError
from tests.support.running import Sample, ledger, make_plan, picture, read_tar, run_here, write_tar

STEPS = """
  - signals: [exif.camera.iso, exif.camera.maker]
  - rules: {exif.camera.iso: {max: 400}, exif.camera.maker: {in: [Leica, Zeiss], missing: keep}}
  - write"""

FIELDS: list[dict[str, Any]] = [
    {"exif": {"camera": {"iso": 100, "maker": "Leica"}, "lens": [1]}},
    {"exif": {"camera": {"iso": 800, "maker": "Zeiss"}}},
    {"exif": {"camera": {"iso": 200, "maker": "Toy"}}},
    {"exif": {"camera": {"iso": 300}}},
    {"exif": None},
]
KEPT = [True, False, False, True, False]


@pytest.fixture(params=["tar", "parquet"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run over the same samples in either format."""
    if request.param == "tar":
        samples = [Sample(f"{i}", picture(i), f"caption {i}", f) for i, f in enumerate(FIELDS)]
        path = write_tar(tmp_path / "a.tar", samples)
    else:
        rows = [fields["exif"] for fields in FIELDS]
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"text": [f"caption {i}" for i in range(5)], "exif": rows}), path)
    run_here(make_plan(tmp_path / "run", path, STEPS))
    return tmp_path / "run"


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    return json.loads(said.out)


def test_the_field_decides_and_the_ledger_has_it(run: Path) -> None:
    rows = ledger(run)
    assert [row["kept"] for row in rows] == KEPT
    assert [row["exif.camera.iso"] for row in rows] == [100, 800, 200, 300, None]
    fallen = rows[1]
    assert (fallen["rule"], fallen["value"], fallen["bound"]) == ("exif.camera.iso", 800, 400)
    assert rows[4]["reason"] == "no_value"


def test_the_samples_own_data_stay_as_they_are(run: Path) -> None:
    shards = sorted((run / "shards").glob("*.tar"))
    if shards:
        written = [sample.fields for path in shards for sample in read_tar(path)]
        assert [fields["exif"] for fields in written] == [
            fields["exif"] for fields, kept in zip(FIELDS, KEPT, strict=True) if kept
        ]
    (sidecar,) = sorted((run / "shards").glob("*.parquet"))
    table = pq.ParquetFile(sidecar).read()
    assert table["exif.camera.iso"].to_pylist() == [100, 300]
    assert table["exif"].to_pylist()[1]["camera"]["iso"] == 300


def test_the_story_and_another_bound_by_name(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uid = ledger(run)[1]["uid"]
    story = asked(capsys, "explain", str(run), uid)["samples"][0]
    assert story["dropped_by"] == "rules"
    assert '"exif.camera.iso": 800' in json.dumps(story)
    change = asked(capsys, "whatif", str(run), "--set", "rules.exif.camera.iso.max=900")
    assert (change["came"], change["went"]) == (1, 0)
    change = asked(capsys, "whatif", str(run), "--set", "rules.exif.camera.iso.max=250")
    assert (change["came"], change["went"]) == (0, 1)


def test_sql_knows_the_column(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = 'SELECT max("exif.camera.iso") AS most FROM ledger'
    assert asked(capsys, "audit", str(run), "--sql", query)["rows"] == [{"most": 800}]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("exif.camera", "column exif.camera has neither numbers, text nor true/false"),
        ("exif.lens", "column exif.lens has neither numbers, text nor true/false"),
        ("exif.camera.is0", r"no such signal or column .did you mean exif.camera.iso"),
    ],
)
def test_a_field_that_is_no_value_is_refused(tmp_path: Path, name: str, said: str) -> None:
    samples = [Sample(f"{i}", picture(i), f"caption {i}", f) for i, f in enumerate(FIELDS)]
    path = write_tar(tmp_path / "a.tar", samples)
    with pytest.raises(JobError, match=said):
        make_plan(tmp_path / "run", path, f"  - signals: [{name}]")
