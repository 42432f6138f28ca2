"""Samples in a list are left out: what is compared, how lists are read, and what a list or a sample keeps to itself."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import tell
from tamis.pipeline.steps.exclude import entries
from tamis.schemas.errors import InputError, JobError, StateError
from tests.support.excluding import SAMPLES, URLS, left_out, other_run, run
from tests.support.pictures import encode, noise
from tests.support.running import (
    Sample,
    ledger,
    make_plan,
    materialize,
    run_here,
    write_tar,
)

SHA256 = hashlib.sha256(SAMPLES[6].image).hexdigest()

LISTS = [
    ("uid", "0000000000000000000000000000000A\n" + "0" * 31 + "3", [3]),
    ("url", "example.org/1.png\nexample.com/2.png\nhttps://EXAMPLE.net/7.png#top", [1, 7]),
    ("domain", "# blocked\nexample.org\n\n*.XN--BCHER-KVA.example\n2.7\n", [0, 1, 4]),
    ("domain", "192.0.2.7\nwww.example.com", [6]),
    ("sha256", f"{SHA256.upper()}\n{'0' * 64}", [6]),
    ("caption", "caption NO 2\n# a comment is a caption here\nCaption no", [2]),
]


def test_hashes_of_other_programs_are_compared_by_the_signal_that_has_them(tmp_path: Path) -> None:
    md5 = [hashlib.md5(one.image, usedforsecurity=False).hexdigest() for one in SAMPLES]
    (tmp_path / "m.txt").write_text(f"# taken down\n{md5[2].upper()}\n{'0' * 32}\n{md5[5]}\n")
    rows = run(tmp_path, f"{{list: {tmp_path}/m.txt, on: md5}}", "- signals: [image_md5]")
    assert left_out(rows) == [2, 5]
    assert [row["image_md5"] for row in rows] == md5
    other = other_run(tmp_path, [SAMPLES[4]], "- signals: [image_md5]\n- write")
    settings = f"{{list: {other}, on: md5}}"
    assert left_out(run(tmp_path, settings, "- signals: [image_md5]")) == [4]
    with pytest.raises(
        JobError, match=r"image_md5, which no step makes: put `signals: \[image_md5\]` b"
    ):
        run(tmp_path, settings)
    (tmp_path / "t.txt").write_text("t1")
    with pytest.raises(InputError, match="`t1` is no md5: 32 hex digits are wanted"):
        run(tmp_path, f"{{list: {tmp_path}/t.txt, on: md5, signal: tag}}", "- signals: [tag]")


def test_what_is_no_md5_in_a_column_stands_in_no_list(tmp_path: Path) -> None:
    """A column is what somebody wrote: one cell of another form stops no run, and no list of its run either."""
    md5 = [hashlib.md5(one.image, usedforsecurity=False).hexdigest() for one in SAMPLES]
    tags = ["n/a", *md5[1:7], None]
    made = [
        replace(one, fields={**one.fields, "tag": tag})
        for one, tag in zip(SAMPLES, tags, strict=True)
    ]
    (tmp_path / "m.txt").write_text(f"{md5[2]}\n{md5[0]}\n")
    settings = f"{{list: {tmp_path}/m.txt, on: md5, signal: tag}}"
    assert left_out(run(tmp_path, settings, "- signals: [tag]", made)) == [2]
    other = other_run(tmp_path, made, "- signals: [tag]\n- write")
    settings = f"{{list: {other}, on: md5, signal: tag}}"
    assert left_out(run(tmp_path, settings, "- signals: [tag]", made)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("on", "text", "expected"), LISTS)
def test_what_stands_in_a_list_is_left_out(
    on: str, text: str, expected: list[int], tmp_path: Path
) -> None:
    (tmp_path / "my.txt").write_text(text)
    rows = run(tmp_path, f"{{list: {tmp_path}/my.txt, on: {on}}}")
    assert left_out(rows) == expected
    out = [row for row in rows if row["step"]]
    assert {(row["reason"], row["rule"]) for row in out} == {("excluded", "my.txt")}
    assert {row["partner_uid"] for row in out} == {None}


@pytest.mark.parametrize("more", ["", ", reveal: false"])
@pytest.mark.parametrize(("on", "text", "expected"), LISTS)
def test_all_but_what_stands_in_a_list_is_left_out(
    on: str, text: str, expected: list[int], more: str, tmp_path: Path
) -> None:
    (tmp_path / "my.txt").write_text(text)
    rows = run(tmp_path, f"{{list: {tmp_path}/my.txt, on: {on}, all_but: true{more}}}")
    assert left_out(rows) == [n for n in range(len(SAMPLES)) if n not in expected]
    out = [row for row in rows if row["step"]]
    assert {row["reason"] for row in out} == {"not_listed"}
    assert {row["rule"] == "my.txt" for row in out} == {not more}


def test_the_ledger_says_which_domain_it_was(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("org\nexample.org\n")
    rows = run(tmp_path, f"{{list: {tmp_path}/d.txt, on: domain}}")
    said = {int(row["uid"], 16): row["message"] for row in rows if row["step"]}
    assert said == {0: "example.org", 1: "example.org", 3: "org"}


def test_a_stored_column_is_compared_as_text(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("t1\n")
    settings = f"{{list: {tmp_path}/t.txt, on: signal, signal: tag}}"
    assert left_out(run(tmp_path, settings, "- signals: [tag]")) == [1, 4, 7]
    with pytest.raises(JobError, match="no signal of text `tag`"):
        run(tmp_path, settings)
    with pytest.raises(JobError, match="no signal of text `words`: numbers are bounded in"):
        run(tmp_path, settings.replace("tag", "words"), "- signals: [words]")


def test_parquet_is_read_by_its_usual_columns_and_names_the_entry(tmp_path: Path) -> None:
    table = pa.table({"URL": [URLS[3], None, URLS[1]], "uid": ["f" * 32, "e" * 32, "no uid"]})
    for number in range(2):
        pq.write_table(table.slice(2 * number, 2), tmp_path / f"{number}.parquet")
    rows = run(tmp_path, f"{{list: '{tmp_path}/*.parquet', on: url}}")
    partners = {int(row["uid"], 16): row["partner_uid"] for row in rows if row["step"]}
    assert partners == {1: None, 3: "f" * 32}
    pq.write_table(pa.table({"bad": ["example.org"], "n": [1]}), tmp_path / "0.parquet")
    settings = f"{{list: {tmp_path}/0.parquet, on: domain"
    assert left_out(run(tmp_path, f"{settings}, column: bad}}")) == [0, 1]
    with pytest.raises(InputError, match=r"no column `domain`; it has bad, n: say which with `col"):
        run(tmp_path, f"{settings}}}")


def test_a_folder_in_the_form_of_ut1(tmp_path: Path) -> None:
    for name, domain in [("adult", "example.org"), ("games", "example.net")]:
        (tmp_path / "ut1" / name).mkdir(parents=True)
        (tmp_path / "ut1" / name / "domains").write_text(domain)
    assert left_out(run(tmp_path, f"{{list: {tmp_path}/ut1/games, on: domain}}")) == [7]
    assert left_out(run(tmp_path, f"{{list: {tmp_path}/ut1, on: domain}}")) == [0, 1, 7]
    with pytest.raises(InputError, match="without a file `urls`, as UT1's have"):
        run(tmp_path, f"{{list: {tmp_path}/ut1, on: url}}")


# Another run as the list.


@pytest.mark.parametrize("on", ["uid", "url", "sha256", "caption", "phash"])
def test_what_another_run_keeps_is_left_out(on: str, tmp_path: Path) -> None:
    steps = "- signals: [tag]\n- rules: {tag: {in: [t0, t2]}}\n- write"
    other = other_run(tmp_path, [SAMPLES[n] for n in (1, 3, 5, 6)], steps)
    rows = run(tmp_path, f"{{list: {other}, on: {on}}}")
    assert left_out(rows) == ([3, 6] if on == "url" else [3, 5, 6])
    assert all(row["partner_uid"] == row["uid"] for row in rows if row["step"])
    assert {row["rule"] for row in rows if row["step"]} == {"other"}


def test_hosts_and_signals_of_another_run(tmp_path: Path) -> None:
    other = other_run(tmp_path, [SAMPLES[1]], "- signals: [tag]\n- write")
    assert left_out(run(tmp_path, f"{{list: {other}, on: domain}}")) == [0, 1]
    settings = f"{{list: {other}, on: signal, signal: tag}}"
    assert left_out(run(tmp_path, settings, "- signals: [tag]")) == [1, 4, 7]
    with pytest.raises(InputError, match="its ledger has no column `words`"):
        run(tmp_path, settings.replace("tag}", "tag, column: words}"), "- signals: [tag]")


def damaged(number: int, one: Sample) -> Sample:
    """Smaller, or compressed with loss; under another caption and name."""
    image = Image.open(io.BytesIO(one.image)).convert("RGB")
    if number % 2:
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4))
    data = encode(image, "JPEG", quality=60) if number % 3 else encode(image)
    return Sample(f"d{number}", data, "other words", {"uid": f"{number + 90:032x}"})


def test_damaged_copies_of_a_suites_pictures_are_found(tmp_path: Path) -> None:
    suite = other_run(tmp_path, SAMPLES)
    pool = [damaged(number, one) for number, one in enumerate(SAMPLES)]
    others = [replace(one, image=encode(noise(seed=50 + n))) for n, one in enumerate(SAMPLES)]
    rows = run(tmp_path, f"{{list: {suite}, on: phash, within: 8}}", samples=pool + others)
    assert left_out(rows) == [90 + number for number in range(len(SAMPLES))]
    for row in rows:
        if row["step"]:
            assert int(row["partner_uid"], 16) == int(row["uid"], 16) - 90
            assert row["value"] == row["partner_value"] <= row["bound"] == 8


@pytest.mark.slow
def test_a_planted_suite_is_found_and_strangers_are_not(tmp_path: Path) -> None:
    """200 pictures, each encoded again or resized, among 2,000 others: at least what near_pictures finds of them."""

    def made(number: int) -> Sample:
        fields = {"uid": f"{number:032x}"}
        return Sample(f"s{number}", encode(noise(seed=number)), f"caption {number}", fields)

    suite = [made(number) for number in range(1000, 1200)]
    copies = [
        replace(damaged(number, one), fields={"uid": f"{number:032x}"})
        for number, one in enumerate(suite)
    ]
    strangers = [made(number) for number in range(3000, 5000)]
    other = other_run(tmp_path, suite)
    rows = run(tmp_path, f"{{list: {other}, on: phash}}", samples=copies + strangers)
    found = set(left_out(rows))
    near = make_plan(
        tmp_path / "near",
        "",
        "- near_pictures",
        input=[
            {"path": f"{tmp_path}/other-in/*.tar", "name": "suite"},
            {"path": f"{tmp_path}/in/*.tar", "name": "pool"},
        ],
    )
    run_here(near)
    fallen = {
        min(int(row["uid"], 16), int(row["survivor_uid"], 16))
        for row in ledger(tmp_path / "near")
        if row["step"] == "near_pictures"
    }
    assert {number for number in fallen if number < 200} <= found
    assert len({number for number in found if number < 200}) >= 180
    assert len([number for number in found if number >= 3000]) <= 2


def hashes(folder: Path) -> list[int]:
    files = sorted((folder / "run/tables/ingest/files").glob("file-*.parquet"))
    return [value for path in files for value in pq.read_table(path)["phash"].to_pylist()]


def test_a_list_of_hashes_decides_by_bits_alone(tmp_path: Path) -> None:
    (tmp_path / "h.txt").write_text(f"{2**64 - 1:016x}")
    run(tmp_path, f"{{list: {tmp_path}/h.txt, on: phash, within: 0}}")
    known = hashes(tmp_path)
    near = known[4] ^ 0b111
    (tmp_path / "h.txt").write_text(f"{near:016x}\n{known[2]:016X}\n")
    rows = run(tmp_path, f"{{list: {tmp_path}/h.txt, on: phash, within: 3}}")
    said = {int(row["uid"], 16): (row["value"], row["message"]) for row in rows if row["step"]}
    assert said == {2: (0.0, f"{known[2]:016x}"), 4: (3.0, f"{near:016x}")}
    pq.write_table(pa.table({"phash": [known[2] - 2**64]}), tmp_path / "h.parquet")
    signed = f"{{list: {tmp_path}/h.parquet, on: phash, within: 0}}"
    assert left_out(run(tmp_path, signed)) == [2]


def test_another_radius_is_decided_again_and_explained(tmp_path: Path) -> None:
    (tmp_path / "h.txt").write_text("0" * 16)
    run(tmp_path, f"{{list: {tmp_path}/h.txt, on: phash, within: 0}}")
    (tmp_path / "h.txt").write_text(f"{hashes(tmp_path)[4] ^ 0b111:016x}")
    rows = run(tmp_path, f"{{list: {tmp_path}/h.txt, on: phash, within: 3}}")
    finished = open_run(str(tmp_path / "run"))
    told = tell(finished, rows[4])
    (step,) = [step for step in told["steps"] if step["step"] == "exclude"]
    assert step["meaning"] == "it stands in a list of what is to be left out"
    assert step["passes_with"] == [{"setting": "exclude.within", "relation": "<=", "value": 2}]
    change = whatif(finished, ["exclude.within=2"])
    assert (change.came, change.went, change.kept_after) == (1, 0, len(SAMPLES))
    materialize(finished, ["exclude.within=2"], tmp_path / "less")
    assert all(row["kept"] for row in ledger(tmp_path / "less"))


# What goes wrong.

WRONG = [
    ("uid", "abc", "line 1: `abc` is no uid: 32 hex digits are wanted"),
    ("sha256", "a" * 63, "is no sha256: 64 hex digits"),
    ("phash", "zz", "is no phash: 16 hex digits"),
    ("domain", "example.org/a", "is no domain: a host without path or port is wanted"),
    ("domain", "||example.org^", "is no domain: a host"),
    ("domain", "example.org,", "is no domain: a host"),
    ("domain", "ads.*.example.org", "is no domain: a host"),
    ("url", "/a.png", "is no url: an address with a host"),
    ("domain", "\n# nothing\n", "has no entries: leave the step out"),
]


@pytest.mark.parametrize(("on", "text", "why"), WRONG)
def test_a_wrong_list_is_refused_before_anything_runs(
    on: str, text: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "w.txt").write_text(text)
    with pytest.raises(InputError, match=why):
        run(tmp_path, f"{{list: {tmp_path}/w.txt, on: {on}}}")
    assert not (tmp_path / "run").exists()


def test_a_missing_list_and_one_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.txt` is not there"):
        run(tmp_path, f"{{list: {tmp_path}/none.txt, on: uid}}")
    (tmp_path / "w.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match="not UTF-8"):
        run(tmp_path, f"{{list: {tmp_path}/w.txt, on: caption}}")
    (tmp_path / "w.parquet").write_bytes(b"caption\n" * 10)
    with pytest.raises(InputError, match="cannot be read as parquet"):
        run(tmp_path, f"{{list: {tmp_path}/w.parquet, on: caption}}")
    with pytest.raises(JobError, match="`signal` goes with `on: signal`"):
        run(tmp_path, f"{{list: {tmp_path}/w.txt, on: signal}}")


def test_an_entry_behind_the_first_ones_is_told_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "BATCH", 2)
    (tmp_path / "w.txt").write_text("example.org\nexample.net\nexample.com\nno host\n")
    with pytest.raises(InputError, match="line 4: `no host`"):
        run(tmp_path, f"{{list: {tmp_path}/w.txt, on: domain}}")


def test_a_list_that_no_worker_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "MOST_ENTRIES", 2)
    (tmp_path / "w.txt").write_text("example.org\nexample.net\nexample.com\n")
    with pytest.raises(InputError, match="more than 2 entries, which is what a worker holds"):
        run(tmp_path, f"{{list: {tmp_path}/w.txt, on: domain}}")


def test_a_list_that_leaves_nothing_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text("\n".join(one.text for one in SAMPLES))
    with pytest.raises(StateError, match="exclude: drops all 8 samples that reach it, 8 for excl"):
        run(tmp_path, f"{{list: {tmp_path}/w.txt, on: caption}}")


def test_addresses_are_not_compared_where_no_input_has_any(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "a.parquet")
    (tmp_path / "w.txt").write_text("example.org")
    step = f"- exclude: {{list: {tmp_path}/w.txt, on: domain}}"
    with pytest.raises(JobError, match="compares URLs, and no input has a column of them"):
        make_plan(tmp_path / "run", tmp_path / "a.parquet", step)


def test_a_moved_list_is_the_same_and_a_changed_one_is_not(tmp_path: Path) -> None:
    for folder, text in [("a", "example.org"), ("b", "example.org"), ("c", "example.net")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "d.txt").write_text(text)
    write_tar(tmp_path / "in/0.tar", SAMPLES)
    ran = []
    for folder in "abc":
        step = f"- exclude: {{list: {tmp_path}/{folder}/d.txt, on: domain}}"
        made = make_plan(tmp_path / "run", tmp_path / "in/0.tar", step)
        ran.append(run_here(made).tasks_run)
    assert ran[1] == 0
    assert ran[2] > 0


def test_the_order_of_a_list_and_repeated_entries_change_nothing(tmp_path: Path) -> None:
    lines = ["example.org", "example.net", "a.example.org", "xn--bcher-kva.example"]
    found = []
    for number in range(3):
        random.Random(number).shuffle(lines)
        (tmp_path / "d.txt").write_text("\n".join(lines * (1 + number)))
        found.append(run(tmp_path, f"{{list: {tmp_path}/d.txt, on: domain}}"))
    assert found[0] == found[1] == found[2]
