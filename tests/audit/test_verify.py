"""A run that stands as it was made has no fault; whatever is changed afterwards is one."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.cli.app import main
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify import uids as spilling
from tamis.pipeline.audit.verify.uids import Uids
from tamis.pipeline.audit.verify.verify import Seen, verify
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar
from tests.support.tables import INDEX, ledger_parts, record_output, small_bundles

BUNDLE = 2

STEPS = """
  - signals: [words]
  - rules: {words: {min: 2}}
  - exact_duplicates: {on: image}
  - write: {samples_per_shard: 5}
"""


@pytest.fixture(scope="module", autouse=True)
def several_bundles() -> Iterator[None]:
    """Of two parts each."""
    with pytest.MonkeyPatch.context() as patch:
        small_bundles(patch, BUNDLE)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input and a finished run over it: two tars, four parts, several shards."""
    folder = tmp_path_factory.mktemp("verify")
    for number in range(2):
        samples = [
            Sample(
                f"{number}-{k:02d}",
                picture(k * 9 % 14 + 100 * number),
                "a word" if k % 5 else "word",
                {},
            )
            for k in range(16)
        ]
        write_tar(folder / "data" / f"{number}.tar", samples)
    run_here(make_plan(folder / "run", folder / "data" / "*.tar", STEPS, part_samples=8))
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """The run, to be damaged; its job still names the same input."""
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


def faults(run: Path, deep: bool = False) -> list[tuple[str, str]]:
    return [(fault.path, fault.what) for fault in verify(open_run(str(run)), Seen(), deep)]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_sound_run_has_no_fault_and_all_of_it_is_looked_at(made: Path) -> None:
    seen = Seen()
    assert list(verify(open_run(str(made / "run")), seen, deep=True)) == []
    tables = (made / "run" / "tables").rglob("*.parquet")
    files = [path for path in tables if path.name != INDEX]
    assert (seen.rows, seen.inputs, seen.tables, seen.notes) == (32, 2, len(files), [])
    results = sum(
        len(list((made / "run" / name).iterdir())) for name in ("shards", "ledger", "ledger_index")
    )
    assert seen.outputs == results + 1
    assert len(list((made / "run" / "shards").glob("*.tar"))) > 2


def test_one_flipped_byte_in_a_picture_of_a_shard(copy: Path) -> None:
    shard = copy / "shards" / "00001.tar"
    flip(shard, shard.read_bytes().index(b"IDAT") + 6)
    found = faults(copy)
    assert {path for path, _ in found} == {"shards/00001.tar"}
    assert found[0][1].startswith("has sha256")
    assert "1 key without the picture" in found[1][1]


@pytest.mark.parametrize("place", range(0, 4096, 257))
def test_one_flipped_byte_anywhere_in_a_shard(copy: Path, place: int) -> None:
    flip(copy / "shards" / "00000.tar", place)
    assert ("shards/00000.tar") in {path for path, _ in faults(copy)}


@pytest.mark.parametrize(
    "path",
    [
        "ledger/bundle-00001.parquet",
        "ledger_index/00000.parquet",
        "shards/00002.parquet",
        "subset.npy",
        "tables/rules/verdict/bundle-00001.parquet",
        "tables/ingest/files/_index.parquet",
    ],
)
def test_a_missing_file(copy: Path, path: str) -> None:
    (copy / path).unlink()
    found = dict(reversed(faults(copy)))
    assert "missing" in found[path]


def as_recorded(run: Path, path: str) -> None:
    """Let the manifest and the receipt say what a changed file is now, so that only counting can tell."""
    data = (run / path).read_bytes()
    rows = pq.read_metadata(run / path).num_rows
    digest = hashlib.sha256(data).hexdigest()
    record_output(run, path, bytes=len(data), sha256=digest, rows=rows)
    shutil.rmtree(run / "tables")


def rewritten(run: Path, change: Callable[[pa.Table], pa.Table]) -> dict[str, str]:
    """The second part of the ledger, changed, and everything made to fit it; the faults by path."""
    path = "ledger/bundle-00000.parquet"
    first, second = ledger_parts(run)[:BUNDLE]
    with pq.ParquetWriter(run / path, first.schema) as writer:
        writer.write_table(first)
        writer.write_table(change(second))
    as_recorded(run, path)
    found: dict[str, str] = {}
    for where, what in faults(run):
        found[where] = f"{found.get(where, '')}; {what}"
    return found


def test_a_ledger_row_too_many(copy: Path) -> None:
    found = rewritten(copy, lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    [(path, what)] = found.items()
    assert path == "ledger/bundle-00000.parquet"
    assert what == "; has 9 rows, plan.json says 8: the rest is not counted"


def changed(column: str, row: int, value: object) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value
        number, field = table.schema.names.index(column), table.schema.field(column)
        return table.set_column(number, field, pa.array(values, field.type))

    return change


@pytest.mark.parametrize(
    ("column", "value", "where", "what"),
    [
        ("reason", "dislike", "ledger/bundle-00000.parquet", "not in the closed list"),
        ("reason", "same_pair", "ledger", "rules dropped 1 for same_pair, manifest.json says 0"),
        ("kept", True, "ledger/bundle-00000.parquet", "kept, but with a step or reason"),
        ("sid", 7, "ledger/bundle-00000.parquet", "a wrong sid"),
        ("source", "input/9.tar", "ledger/bundle-00000.parquet", "another source than input/0.tar"),
        ("uid", "no uid", "ledger/bundle-00000.parquet", "a uid that is not 32 hex digits"),
        ("shard_key", "000000003", "ledger/bundle-00000.parquet", "a wrong shard or shard_key"),
    ],
)
def test_a_dropped_row_that_says_something_else(
    copy: Path, column: str, value: object, where: str, what: str
) -> None:
    part = [row for row in ledger(copy) if row["sid"] >> 32 == 1]
    dropped = next(i for i, row in enumerate(part) if row["step"] == "rules")
    assert what in rewritten(copy, changed(column, dropped, value))[where]


def test_another_uid_of_a_kept_row_is_missed_by_subset_and_shard(copy: Path) -> None:
    part = [row for row in ledger(copy) if row["sid"] >> 32 == 1]
    kept = next(i for i, row in enumerate(part) if row["kept"])
    found = rewritten(copy, changed("uid", kept, "0" * 32))
    assert "holds other uids" in found["subset.npy"]
    assert any(path.startswith("shards/") for path in found)


def test_an_input_that_changed_since_and_one_that_is_gone(made: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(made / "data", tmp_path / "data"))
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    job = (run / "job.yaml").read_text().replace(str(made / "data"), str(data))
    (run / "job.yaml").write_text(job)
    assert faults(run) == []
    flip(data / "1.tar", 700)
    [(path, what)] = faults(run)
    assert path == "input/1.tar"
    assert what.startswith("has sha256")
    assert what.endswith("the input has changed since")
    (data / "1.tar").unlink()
    seen = Seen()
    assert list(verify(open_run(str(run)), seen)) == []
    assert seen.inputs == 1
    assert "1 of 2 inputs are no longer where job.yaml says" in seen.notes[0]


def test_a_table_whose_rows_were_changed_is_found_by_deep(copy: Path) -> None:
    table = next((copy / "tables" / "signals").rglob("part-00000.parquet"))
    flip(table, 40)
    assert faults(copy) == []
    [(path, what)] = faults(copy, deep=True)
    assert (path, what) == (str(table.relative_to(copy)), "its rows are not what was written")


def test_a_file_that_nobody_made(copy: Path) -> None:
    (copy / "shards" / "99999.tar").write_bytes(b"")
    assert faults(copy) == [("shards/99999.tar", "is not in manifest.json")]


@pytest.mark.parametrize("in_memory", [10, 10**6])
def test_uids_are_compared_whether_spilled_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(spilling, "IN_MEMORY", in_memory)
    random = np.random.default_rng(5)
    names = [random.bytes(16).hex() for _ in range(100)]
    kept = [bool(random.integers(2)) for _ in names]
    listed = sorted(name for name, stays in zip(names, kept, strict=True) if stays)

    def rows(uid: list[str], stays: list[bool], reason: str | None) -> pa.Table:
        reasons = pa.array([reason] * len(uid), pa.string())
        return pa.table({"uid": pa.array(uid, pa.string()), "kept": stays, "reason": reasons})

    def told(
        again: list[str], subset: list[str], reason: str | None = None
    ) -> list[tuple[str, str]]:
        halves = np.array([(int(n[:16], 16), int(n[16:], 16)) for n in subset], dtype="u8,u8")
        np.save(tmp_path / "subset.npy", halves)
        uids = Uids(tempfile.mkdtemp(dir=tmp_path))
        for start in range(0, 100, 7):
            some = slice(start, start + 7)
            uids.add(rows(names[some], kept[some], None))
        uids.add(rows(again, [False] * len(again), reason))
        return list(uids.faults(str(tmp_path / "subset.npy")))

    assert told([], listed) == []
    [(where, what)] = told([names[3]], listed)
    assert (where, names[3] in what) == ("ledger", True)
    assert told([names[3], names[3]], listed, "repeated_uid") == []
    [(where, what)] = told(["0" * 32], listed, "repeated_uid")
    assert (where, "dropped for a repeated uid that no other row has" in what) == ("ledger", True)
    assert told([], listed[::-1])[0][0] == "subset.npy"
    assert told([], listed[:-1])[0][0] == "subset.npy"
    assert told([], [*listed, "f" * 32])[0][0] == "subset.npy"


def test_the_command_ends_with_1_where_there_is_a_fault(
    made: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "subset.npy").unlink()
    for run, code in ((made / "run", 0), (copy, 1)):
        with pytest.raises(SystemExit) as ended:
            main(["verify", str(run), "--json"])
        assert ended.value.code == code
        assert len(json.loads(capsys.readouterr().out)["faults"]) == (2 if code else 0)
    with pytest.raises(SystemExit):
        main(["verify", str(copy)])
    assert capsys.readouterr().out.startswith("subset.npy: is missing\n")
