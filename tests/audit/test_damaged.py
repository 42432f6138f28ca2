"""A finished run with bytes that are not what was written: each command says so in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.uids import Uids
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.schemas.errors import StateError
from tests.support.running import ledger
from tests.support.tables import record_output


@pytest.fixture
def run(hostile: Path, tmp_path: Path) -> Path:
    """To be damaged."""
    return Path(shutil.copytree(hostile, tmp_path / "run"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on standard error of a command that ends with 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    (line,) = told.err.splitlines()
    return line


def cut_page(path: Path) -> None:
    """The first page's header becomes noise; the footer stays as it is."""
    data = bytearray(path.read_bytes())
    data[4:12] = b"\xff" * 8
    path.write_bytes(data)


def cut_end(path: Path) -> None:
    """The footer is cut short."""
    path.write_bytes(path.read_bytes()[:-9])


DAMAGES = {"page": cut_page, "footer": cut_end}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("folder", ["ledger/bundle-00000", "ledger_index/00000"])
def test_explain_names_a_damaged_file(
    run: Path, folder: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    uid = ledger(run)[3]["uid"]
    DAMAGES[damage](run / f"{folder}.parquet")
    line = said(capsys, "explain", str(run), uid)
    assert line.startswith(f"tamis: {run}/{folder}.parquet is damaged (")
    assert "`tamis run` with that run's job.yaml makes it again" in line


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("joined", [False, True])
def test_diff_names_a_damaged_ledger(
    hostile: Path,
    run: Path,
    damage: str,
    joined: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = run / "ledger" / "bundle-00000.parquet"
    DAMAGES[damage](path)
    # Else it is the same file.
    record_output(run, "ledger/bundle-00000.parquet", sha256="0" * 64)
    if joined:
        monkeypatch.setattr("tamis.pipeline.audit.compare.by_part.moved", lambda *_: None)
    line = said(capsys, "diff", str(hostile), str(run))
    assert str(run) in line
    assert "damaged" in line


@pytest.mark.parametrize("damage", DAMAGES)
def test_audit_names_a_damaged_ledger(
    run: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGES[damage](run / "ledger" / "bundle-00000.parquet")
    line = said(capsys, "audit", str(run), "--sample", "kept")
    assert "`tamis verify` says what is damaged" in line


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"layout": 3}',
        '{"layout": 3, "job": "test", "part_samples": 8, "makes": []}',
    ],
)
def test_a_damaged_plan_is_named(run: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    uid = ledger(run)[3]["uid"]
    (run / "plan.json").write_text(text)
    for command in (["explain", str(run), uid], ["whatif", str(run), "--set", "rules.words.min=3"]):
        assert "plan.json is damaged" in said(capsys, *command)
    faults = list(verify(open_run(str(run)), Seen()))
    assert ("plan.json", "is damaged") in {(fault.path, fault.what) for fault in faults}


def test_a_job_that_is_no_text_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "job.yaml"
    path.write_bytes(path.read_bytes().replace(b"hostile", b"host\xf6le"))
    assert "is no text in UTF-8" in said(capsys, "whatif", str(run), "--set", "rules.words.min=3")
    (fault,) = verify(open_run(str(run)), Seen())
    assert fault.path == "job.yaml"
    assert "so the inputs were not looked at" in fault.what


def test_a_table_that_a_page_is_made_of_is_checked(embedded: object, tmp_path: Path) -> None:
    """One bit of a quota: it would be shown as it is."""
    run = Path(shutil.copytree(embedded(), tmp_path / "run"))  # type: ignore[operator]
    path = run / "tables" / "density" / "quotas" / "clusters.parquet"
    column = pq.read_metadata(path).row_group(0).column(5)
    assert column.path_in_schema == "quota"
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(path.read_bytes())
    data[start + column.total_compressed_size - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StateError, match=r"clusters\.parquet is damaged"):
        open_run(str(run)).quotas("density")


def without(path: Path, column: str) -> None:
    """The same rows, as a reader sees them whose footer has another name for a column."""
    table = pq.read_table(path)
    fields = [
        field.with_name(f"{field.name}_").remove_metadata()
        if field.name.removeprefix("tamis_") == column
        else field
        for field in table.schema
    ]
    pq.write_table(pa.Table.from_arrays(table.columns, schema=pa.schema(fields)), path)


@pytest.mark.parametrize(
    ("path", "column", "what"),
    [
        (
            "ledger/bundle-00000.parquet",
            "shard",
            "part 0 of the ledger cannot be read: shard is not",
        ),
        ("shards/00000.parquet", "sha256", "cannot be read: "),
    ],
)
def test_verify_goes_on_where_a_column_is_gone(
    run: Path, path: str, column: str, what: str
) -> None:
    without(run / path, column)
    faults = [(fault.path, fault.what) for fault in verify(open_run(str(run)), Seen())]
    told = [said for where, said in faults if where == path and what in said]
    assert len(told) == 1
    assert "\n" not in told[0]


def test_verify_notices_every_bit_of_the_head_of_a_subset(run: Path) -> None:
    """It is a Python literal: what is not one fails in several ways."""
    path = run / "subset.npy"
    data = path.read_bytes()
    for at in range(data.index(b"\n")):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 7]) + data[at + 1 :])
        subset = Uids(str(run))
        assert "subset.npy" in {where for where, _ in subset.faults(str(path))}
