"""A query of `tamis audit --sql` and a condition of `--where` read the run alone, and write nothing anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

SECRET = "not0for0queries"

READS = (
    "select * from read_text('OUT')",
    "select * from read_blob('OUT')",
    "select * from 'OUT.csv'",
    "from 'OUT.parquet'",
    "select * from read_csv('OUT', header=false)",
    "select * from read_json('OUT.json')",
    "select * from read_parquet('OUT.parquet')",
    "select * from read_json_objects('OUT.json')",
    "select * from parquet_metadata('OUT.parquet')",
    "select * from parquet_schema('OUT.parquet')",
    "select * from sniff_csv('OUT.csv')",
    "select * from glob('FOLDER/*')",
    "select * from read_text('RUN/../outside')",
    "select * from read_text('RUN/tables/../../outside')",
    "select * from query('select * from read_text(''OUT'')')",
    "select * from query_table('OUT.parquet')",
    "select * from read_text('/proc/self/environ')",
    "select getenv('HIDDEN')",
    "with t as (select * from read_text('OUT')) select * from t",
    "select (select content from read_text('OUT'))",
    "select * from read_text(['OUT', 'RUN/job.yaml'])",
    "select * from 'file://OUT.csv'",
    "select * from 'http://127.0.0.1:9/x.csv'",
    "select * from read_text('s3://x/y')",
    "describe select * from 'OUT.parquet'",
    "summarize 'OUT.parquet'",
    "explain analyze select * from 'OUT.parquet'",
    "select * from duckdb_secrets()",
)

WRITES = (
    "copy (select 1) to 'FOLDER/made.csv'",
    "copy ledger to 'RUN/made.parquet'",
    "export database 'FOLDER/made'",
    "attach 'FOLDER/made.db'",
    "attach 'RUN/made.db' as other",
    "import database 'FOLDER'",
    "install httpfs",
    "load httpfs",
    "load 'FOLDER/x.duckdb_extension'",
    "create table t as select 1",
    "create view ledger as select 1",
    "drop view ledger",
    "create or replace macro f() as 1",
    "create secret (type s3, key_id 'a', secret 'b')",
    "insert into ledger select * from ledger",
    "update ledger set kept = false",
    "delete from ledger",
    "truncate ledger",
    "vacuum",
    "checkpoint",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "reset memory_limit",
    "set temp_directory = 'FOLDER/made'",
    "set home_directory = 'FOLDER'",
    "pragma database_list",
    "pragma enable_profiling = 'json'",
    "set profiling_output = 'FOLDER/made'",
    "pragma temp_directory = 'FOLDER/made'",
    "select 1; copy (select 1) to 'FOLDER/made.csv'",
    "begin",
    "call pragma_version()",
    "use memory",
    "detach memory",
    "prepare q as select 1",
    "execute q",
    "set search_path = 'x'",
    "set log_query_path = 'FOLDER/made'",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and beside it files that hold the secret."""
    made = tmp_path_factory.mktemp("confined")
    samples = [Sample(f"k{i}", picture(i * 999), "two words", {}) for i in range(4)]
    steps = "- signals: [words]\n- rules: {words: {min: 1}}\n- write"
    run_here(make_plan(made / "run", write_tar(made / "in/0.tar", samples), steps))
    for ending in ("", ".csv", ".json"):
        (made / f"outside{ending}").write_text(f'[{{"a": "{SECRET}"}}]\n')
    rows = "ledger/bundle-00000.parquet"
    (made / "outside.parquet").write_bytes((made / "run" / rows).read_bytes())
    return made


def filled(text: str, folder: Path) -> str:
    words = {"OUT": f"{folder}/outside", "FOLDER": str(folder), "RUN": f"{folder}/run"}
    for word, value in words.items():
        text = text.replace(word, value)
    return text


@pytest.mark.parametrize("query", [*READS, *WRITES])
def test_no_query_leaves_the_run(
    query: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIDDEN", SECRET)
    before = contents(folder)
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(folder / "run"), "--sql", filled(query, folder)])
    told = capsys.readouterr()
    assert ended.value.code == 2 or query in READS
    assert SECRET not in told.out + told.err
    assert "two words" not in told.out  # of the ledger that lies outside
    assert contents(folder) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("query", READS[:6])
def test_no_condition_leaves_the_run(
    query: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = filled(f"exists ({query})", folder)
    with pytest.raises(SystemExit) as ended:
        main(["tag", str(folder / "run"), str(tmp_path / "list"), "--where", where])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert SECRET not in line
    assert list(tmp_path.iterdir()) == []
