"""A picture that changes below the table that names it is named, and --accept-changed reads it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.schemas.errors import InputError
from tests.support.running import ledger, make_plan, picture, run_here

NAMES = [f"pics/{number}.png" for number in range(8)]


def as_lines(path: Path) -> None:
    rows = ({"file_name": name, "text": f"of {name}"} for name in NAMES)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_list(path: Path) -> None:
    path.write_text(json.dumps([{"file_name": name, "text": f"of {name}"} for name in NAMES]))


def as_csv(path: Path) -> None:
    path.write_text("file_name,text\n" + "".join(f"{name},of {name}\n" for name in NAMES))


def as_parquet(path: Path) -> None:
    texts = [f"of {name}" for name in NAMES]
    pq.write_table(pa.table({"image": NAMES, "text": texts}), path)


def as_structs(path: Path) -> None:
    images = [{"bytes": picture(0) if name == NAMES[0] else None, "path": name} for name in NAMES]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    texts = [f"of {name}" for name in NAMES]
    pq.write_table(pa.table({"image": pa.array(images, kind), "text": texts}), path)


TABLES: dict[str, Callable[[Path], None]] = {
    "m.jsonl": as_lines,
    "m.json": as_list,
    "m.csv": as_csv,
    "m.parquet": as_parquet,
    "structs.parquet": as_structs,
}


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "in/pics").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (tmp_path / "in" / name).write_bytes(picture(number))
    path: Path = tmp_path / "in" / request.param
    TABLES[request.param](path)
    return path


def run(table: Path, samples: int, accept: bool = False) -> None:
    lines = f"  - signals: [min_side]\n  - write: {{samples_per_shard: {samples}}}"
    run_here(make_plan(table.parents[1] / "run", table, lines, accept_changed=accept))


def test_it_is_named_and_read_again(table: Path) -> None:
    output = table.parents[1] / "run"
    run(table, 4)
    (table.parent / NAMES[3]).write_bytes(picture(99, 9, 9))
    with pytest.raises(InputError, match=rf"{table.name}` has changed .*the picture `{NAMES[3]}`"):
        run(table, 5)
    run(table, 5, accept=True)
    assert ledger(output)[3]["min_side"] == 9
    assert list(verify(open_run(str(output)), Seen(), deep=True)) == []
    run(table, 6)


def test_one_that_is_gone_is_named_and_dropped(table: Path) -> None:
    output = table.parents[1] / "run"
    run(table, 4)
    (table.parent / NAMES[3]).unlink()
    with pytest.raises(
        InputError, match=rf"a row names `{NAMES[3]}`, another picture, or one that"
    ):
        run(table, 5)
    run(table, 5, accept=True)
    assert [row["reason"] for row in ledger(output) if not row["kept"]] == ["missing_image"]
    (table.parent / NAMES[3]).write_bytes(picture(3))
    run(table, 5, accept=True)
    assert all(row["kept"] for row in ledger(output))


def test_pictures_that_lie_in_the_table_are_not_read_again(tmp_path: Path) -> None:
    images = [{"bytes": picture(number), "path": f"{number}.png"} for number in range(3)]
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"image": images, "text": ["a", "b", "c"]}), path)
    run_here(make_plan(tmp_path / "run", path, "- write"))
    made = make_plan(tmp_path / "run", path, "- write", accept_changed=True)
    assert run_here(made).tasks_run == 0
