"""What an unrevealed list and redacted samples leave behind in a run: nothing that says what they are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.reading.pictures import Pictures
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.audit.story.story import stories
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.schemas.errors import InputError, TamisError
from tests.support.embedded import blobs, run_steps, write_input
from tests.support.excluding import SAMPLES, URLS, left_out, run
from tests.support.running import contents


def everything(folder: Path) -> bytes:
    """All that a run has written but for its job, which says where the list lies, and what reports when."""
    files = contents(folder)
    return b"".join(data for path, data in files.items() if path != "job.yaml")


def test_a_list_that_is_not_revealed_is_known_by_its_sha256_alone(tmp_path: Path) -> None:
    text = "example.org\nexample.edu\n"
    (tmp_path / "secret-name.txt").write_text(text)
    settings = f"{{list: {tmp_path}/secret-name.txt, on: domain, reveal: false}}"
    rows = run(tmp_path, settings)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    assert left_out(rows) == [0, 1]
    for row in rows[:2]:
        assert row["rule"] == f"sha256 {sha256[:16]}"
        unsaid = ("message", "partner_uid", "partner_value", "value", "bound")
        assert {row[name] for name in unsaid} == {None}
    (job,) = [step["exclude"] for step in manifest(tmp_path)["job"]["steps"] if "exclude" in step]
    assert job["list"] == f"sha256 {sha256}"
    (listed,) = (tmp_path / "run/tables/exclude/list").glob("list.parquet")
    assert pq.read_table(listed).num_rows == 0
    whole = everything(tmp_path / "run")
    assert b"secret-name" not in whole
    assert b"example.edu" not in whole
    assert not list(verify(open_run(str(tmp_path / "run")), Seen(), deep=True))


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run/manifest.json").read_text())
    return found


@pytest.mark.parametrize(
    ("name", "on"),
    [
        ("secret.txt", "caption"),
        ("secret-run/", "uid"),
        ("secret.npy", "embedding"),
        ("secret.txt", "embedding"),
    ],
)
def test_no_message_says_where_an_unrevealed_list_was_to_lie(
    name: str, on: str, tmp_path: Path
) -> None:
    """Errors are printed and kept in logs, which others read than the job."""
    entry = write_input(tmp_path / "in", blobs([6], [0.3], dim=8), 2)
    secret = f"{{list: {tmp_path}/{name}, on: {on}, reveal: false}}"
    steps = f"- exclude: {secret}\n- write"
    with pytest.raises(TamisError) as error:
        run_steps(tmp_path / "run", [entry], steps)
    assert "secret" not in str(error.value)
    assert str(tmp_path) not in str(error.value)
    assert str(error.value).startswith("exclude: the list is ")


def test_a_list_that_goes_before_it_is_decided_again_is_not_named(tmp_path: Path) -> None:
    path = tmp_path / "secret-name.txt"
    path.write_text("example.org\n")
    run(tmp_path, f"{{list: {path}, on: domain, reveal: false}}")
    path.unlink()
    with pytest.raises(TamisError) as error:
        whatif(open_run(str(tmp_path / "run")), ["exclude.all_but=true"])
    assert "secret" not in str(error.value)


def test_an_unrevealed_list_decides_as_one_that_is_shown(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("example.org\n192.0.2.7")
    settings = f"{{list: {tmp_path}/d.txt, on: domain, reveal: "
    assert left_out(run(tmp_path, f"{settings}true}}")) == left_out(
        run(tmp_path, f"{settings}false}}")
    )
    (tmp_path / "d.txt").write_text("example.org\nex ample\n")
    with pytest.raises(InputError, match=r"line 2: `ex ample` is no domain: a host without path"):
        run(tmp_path, f"{settings}true}}")
    with pytest.raises(InputError, match=r"the list: line 2: is no domain") as raised:
        run(tmp_path, f"{settings}false}}")
    assert "ex ample" not in str(raised.value)


def test_redacted_samples_have_no_name_anywhere(tmp_path: Path) -> None:
    fields = {"uid": f"{0:032x}", "tag": "its-tag", "url": "https://take.down/its-url"}
    taken = replace(SAMPLES[0], key="its-key", text="its caption", fields=fields)
    (tmp_path / "d.txt").write_text("take.down")
    settings = f"{{list: {tmp_path}/d.txt, on: domain, redact: true}}"
    rows = run(tmp_path, settings, "- signals: [tag]", [taken, *SAMPLES[1:]])
    out = rows[0]
    assert (out["key"], out["url"], out["text"], out["tag"]) == ("", None, None, None)
    assert (out["uid"], out["sid"], out["source"]) == (f"{0:032x}", 0, "input/0.tar")
    assert (out["step"], out["reason"], out["message"]) == ("exclude", "excluded", None)
    assert (rows[1]["key"], rows[1]["url"], rows[1]["tag"]) == ("k1", URLS[1], "t1")
    finished = open_run(str(tmp_path / "run"))
    for name in ("its-key", "https://take.down/its-url"):
        assert stories(finished, name, 9) == (0, [])
    count, (story,) = stories(finished, out["uid"], 9)
    assert (count, story["read"], story["dropped_by"]) == (1, None, "exclude")
    assert list(Pictures(finished).encoded([0, 1])) == [1]
    page = report(finished).decode()
    published = [page, *map(str, contents(tmp_path / "run/ledger").values())]
    assert not [name for name in ("its-", "its caption", "take.down") if name in "".join(published)]
    assert not list(verify(finished, Seen(), deep=True))
