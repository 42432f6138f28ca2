"""An input that is named is read, or named in an error; what a pattern leaves out is told."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.pipeline.inputs.braces import names_of
from tamis.pipeline.inputs.input_files import resolve
from tamis.pipeline.planning.preview import preview
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, StorageError
from tests.support.object_store import BUCKET, object_store, put
from tests.support.running import Sample, make_plan, picture, write_tar
from tests.support.web import served

KINDS = ("file", "link", "dead", "folder", "linked folder", "hidden", "pipe")
PATTERNS = ("*.tar", "*", "**", "**/*.tar", "*/*.tar", "[a-c].tar", "?.tar", "d?/*.tar", ".*")


def plant(root: Path, name: str, kind: str) -> None:
    """Something of that kind below ``root``; what links lead to lies beside it."""
    path, outside = root / name, root.parent / "outside"
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        path.write_bytes(name.encode())
    elif kind == "link":
        (outside / path.name).write_bytes(name.encode())
        path.symlink_to(outside / path.name)
    elif kind == "dead":
        path.symlink_to(outside / "gone")
    elif kind == "folder":
        path.mkdir(exist_ok=True)
        (path / "inside.tar").write_bytes(b"1")
    elif kind == "linked folder":
        folder = outside / f"folder-of-{path.name}"
        folder.mkdir(exist_ok=True)
        (folder / "inside.tar").write_bytes(b"1")
        path.symlink_to(folder)
    elif kind == "hidden":
        (path.parent / f".{path.name}").write_bytes(b"1")
    else:
        os.mkfifo(path)


def all_paths(root: Path) -> list[Path]:
    """Every name below a folder, links followed."""
    found = []
    for folder, folders, files in os.walk(root, followlinks=True):
        found += [Path(folder, name) for name in (*folders, *files)]
    return found


def fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Brute force over where ``**`` may end."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        rest = pattern[1:] or ["*"]
        return any(fits(parts[cut:], rest) for cut in range(len(parts) + 1))
    return (
        bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and fits(parts[1:], pattern[1:])
    )


def check_refusal(message: str, root: Path, named: Sequence[Path]) -> None:
    """It names one that the pattern names, unless all are hidden."""
    told = [path for path in named if str(path) in message]
    parts = [path.relative_to(root).parts for path in named]
    assert told or (
        "matches no" in message and all(part.startswith(".") for p in parts for part in p[-1:])
    )


TREES = st.dictionaries(
    st.sampled_from([f"{folder}{name}.tar" for folder in ("", "d1/", "d2/") for name in "abcde"]),
    st.sampled_from(KINDS),
    min_size=1,
    max_size=7,
)


@settings(max_examples=300, deadline=None)
@given(tree=TREES, pattern=st.sampled_from(PATTERNS))
def test_what_is_named_is_read_or_told(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, str], pattern: str
) -> None:
    root = tmp_path_factory.mktemp("tree") / "in"
    (root.parent / "outside").mkdir()
    root.mkdir()
    for name, kind in tree.items():
        plant(root, name, kind)
    named = [p for p in all_paths(root) if fits(p.relative_to(root).parts, pattern.split("/"))]
    try:
        listing = resolve([f"{root}/{pattern}"])
    except InputError as error:
        check_refusal(str(error), root, named)
        return
    told_of = {path for path, _ in listing.left_out} | {file.path for file in listing.files}
    for path in named:
        known = {str(path), *map(str, path.parents)}

        assert known & told_of or (pattern.startswith("**") and path.is_dir())
    assert all(Path(file.path).is_file() for file in listing.files)
    assert len(" ".join(listing.notes())) > 0 or not listing.left_out


def test_links_that_lead_back_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.tar").write_bytes(b"1")
    (tmp_path / "a/up").symlink_to(tmp_path)
    assert [file.relative for file in resolve([f"{tmp_path}/**/*.tar"]).files] == ["a/x.tar"]


def test_a_folder_of_links_is_a_folder_of_files(tmp_path: Path) -> None:
    """As the cache of Hugging Face has them: snapshots of links into blobs."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots/abc/data"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number in range(3):
        write_tar(blobs / f"{number}", [Sample(f"k{number}", picture(number), "two words", {})])
        (snapshot / f"{number:05d}.tar").symlink_to(f"../../../blobs/{number}")
    made = make_plan(tmp_path / "run", f"{tmp_path}/snapshots/*/data/*.tar", "- write: {}")
    assert len(made.inputs) == 3
    assert [file.size for file in made.inputs] == [
        (blobs / f"{n}").stat().st_size for n in range(3)
    ]


def test_a_name_with_brackets_is_told_how_it_is_written(tmp_path: Path) -> None:
    write_tar(tmp_path / "in/x [1].tar", [Sample("k", picture(1), "two words", {})])
    with pytest.raises(InputError) as error:
        make_plan(tmp_path / "run", f"{tmp_path}/in/x [1].tar", "- write: {}")
    written = f"{tmp_path}/in/x [[]1].tar"
    assert f"a file of that very name is `{written}`" in str(error.value)
    assert len(make_plan(tmp_path / "run", written, "- write: {}").inputs) == 1


def test_plan_counts_what_is_left_out(tmp_path: Path) -> None:
    write_tar(tmp_path / "in/a", [Sample("k", picture(1), "two words", {})])
    (tmp_path / "in/.b.tar").write_bytes(b"1")
    (tmp_path / "in/sub").mkdir()
    entry = {"path": f"{tmp_path}/in/*", "format": "webdataset"}
    made = make_plan(tmp_path / "run", "", "- write: {}", input=[entry])
    notes = preview(made)["notes"]
    assert [note.split(":")[1] for note in notes] == [
        " 1 left out of 2 that match, for each is a directory",
        " 1 left out of 2 that match, for each is hidden",
    ]
    assert all(str(tmp_path / "in") in note for note in notes)


def test_a_directory_that_may_not_be_listed_is_no_empty_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.tar").write_bytes(b"1")
    listdir = os.listdir

    def refuse(path: str) -> list[str]:
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied", path)
        return listdir(path)

    for pattern in ("*/*.tar", "**/*.tar"):
        with (
            patch("tamis.pipeline.store.matching.os.listdir", refuse),
            pytest.raises(StorageError, match="/a` cannot be listed: Permission denied"),
        ):
            resolve([f"{tmp_path}/{pattern}"])


def test_a_name_that_is_no_text_is_named(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/x\xff.tar")).write_bytes(b"1")
    with pytest.raises(InputError, match=r"x\\xff.tar`: the name is not UTF-8") as refused:
        resolve([f"{tmp_path}/*.tar"])
    str(refused.value).encode()


@pytest.mark.parametrize("names", [["get?file=0", "get?file=1"], ["get?file={0..1}"]])
def test_addresses_that_differ_in_their_query_are_no_one_file(names: list[str]) -> None:
    with served({"/get": b"1"}) as (base, _), pytest.raises(InputError, match="one name"):
        resolve([f"{base}{name}" for name in names])


def test_a_query_is_in_no_name() -> None:
    with served({"/a/get.tar": b"1"}) as (base, _):
        for query in ("sig=SECRET", "cred=AK/SECRET/s3&x=1", "x#/SECRET"):
            listing = resolve([f"{base}a/get.tar?{query}"])
            assert [file.relative for file in listing.files] == ["get.tar"]
            assert "SECRET" not in listing.prefix


COUNTED = (
    "a", "{a,b}", "{0..9}", "{00..17..3}", "{a..e}x{1..3}", "{a,{b,c}}", "{a{0..2},b}", "{x}", "{}", "{a,,b}",
)  # fmt: skip


@pytest.mark.parametrize("pattern", COUNTED)
def test_braces_are_counted_before_they_are_made(pattern: str) -> None:
    names = names_of(pattern, pattern, 1000)
    assert names_of(pattern, pattern, len(names)) == names
    if len(names) > 1:
        with pytest.raises(InputError, match="names more than"):
            names_of(pattern, pattern, len(names) - 1)


@pytest.mark.parametrize(
    "pattern",
    [
        "{0..99999999999}", "{0..9999999}{0..9999999}", "{0..%s}" % ("9" * 5000), "{-99999999999..0}", "{0..9..0}" * 9,
        "{" * 2000 + "a,b" + "}" * 2000, "{a,b}" * 60, "{0..99999999999", "{a..z..1}" * 12,
    ],
)  # fmt: skip
def test_a_typing_error_in_a_range_is_told_at_once(pattern: str) -> None:
    with pytest.raises(InputError) as refused:
        names_of(pattern, "x", 1_000_000)
    assert len(str(refused.value)) < 200


def test_a_key_with_a_question_mark_is_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a store: only the addresses of web servers have queries."""
    with object_store() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        keys = ["d/e?f.tar", "d/e?g.tar", "d/e#f.tar", "d/e%3Ff.tar", "d/.hidden.tar"]
        for key in keys:
            put(store, key, key.encode())
        for pattern in ("*.tar", "*", "**"):
            listing = resolve([f"s3://{BUCKET}/d/{pattern}"])
            assert [f"d/{file.relative}" for file in listing.files] == sorted(keys[:-1])
            assert [why for _, why in listing.left_out] == ["hidden"]
            for file in listing.files:
                assert storage.read_bytes(file.path) == f"d/{file.relative}".encode()
        put(store, "spark/x.parquet/part-0", b"1")
        with pytest.raises(InputError, match=r"x.parquet` is a directory"):
            resolve([f"s3://{BUCKET}/spark/*.parquet"])
