"""Search of a run's embeddings: judged by all cosines, computed at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.jobs.commands.clean import clean_run
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.search import encoded
from tamis.pipeline.audit.search import query as queries
from tamis.pipeline.audit.search.query import Query
from tamis.pipeline.audit.search.search import Asked, Found, Search
from tamis.pipeline.audit.search.stored import Embedding, Side
from tamis.pipeline.tasks import dealing
from tamis.schemas.errors import InputError, JobError, StateError
from tests.audit.conftest import DIM
from tests.support import object_store as stores
from tests.support.embedded import blobs, numbered, run_steps, write_input
from tests.support.running import (
    Sample,
    contents,
    ledger,
    make_plan,
    picture,
    read_tar,
    run_here,
    write_tar,
)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def run(embedded: Any) -> FinishedRun:
    """240 pairs, of which some fail a rule between `embed` and `semantic_duplicates`, which drops nine more."""
    return open_run(str(embedded()))


@pytest.fixture(scope="module")
def embedding(run: FinishedRun) -> Embedding:
    return Embedding(run)


def bytes_of(run: FinishedRun, row: Row) -> bytes:
    """The picture of a sample of that run."""
    samples = read_tar(Path(run.root).parent / "in/0.tar")
    return next(sample.image for sample in samples if sample.key == row["key"])


class Judge:
    """All stored vectors of a run, in memory."""

    def __init__(self, root: Path) -> None:
        self.rows: dict[int, Row] = {row["sid"]: row for row in ledger(root)}
        self.sids: list[int] = []
        vectors: dict[str, list[npt.NDArray[np.float64]]] = {"image": [], "text": []}
        for path in sorted((root / "tables/embed/vectors").glob("part-*.parquet")):
            part = int(path.stem.partition("-")[2])
            for row in pq.ParquetFile(path).read().to_pylist():
                if row["reason"] is None:
                    self.sids.append(part << 32 | row["row"])
                    for side in vectors.keys() & row.keys():
                        vectors[side].append(
                            np.frombuffer(row[side], np.float16).astype(np.float64)
                        )
        self.vectors = {side: np.array(found) for side, found in vectors.items()}

    def ranked(self, query: npt.NDArray[Any], side: Side, among: str) -> list[tuple[float, str]]:
        """Cosine and uid of all samples asked for, the nearest first."""
        rows = self.vectors[side]
        to = query.astype(np.float64)
        values = rows @ to / np.linalg.norm(rows, axis=1) / np.linalg.norm(to)
        found = [
            (-round(float(value), 12), str(self.rows[sid]["uid"]))
            for sid, value in zip(self.sids, values, strict=True)
            if among == "all" or self.rows[sid]["kept"] == (among == "kept")
        ]
        return [(-value, uid) for value, uid in sorted(found)]


@pytest.fixture(scope="module")
def judge(embedded: Any) -> Judge:
    return Judge(embedded())


def vector(seed: int) -> npt.NDArray[np.float32]:
    """A direction."""
    drawn = np.random.default_rng(seed).standard_normal(DIM)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def pairs(found: Found) -> list[tuple[float, str]]:
    """Cosine and uid of the answer's rows."""
    return [(round(row["cosine"], 12), row["uid"]) for row in found.rows]


def find(embedding: Embedding, query: npt.NDArray[np.float32], **asked: Any) -> Found:
    return Search(embedding, Asked(**asked)).find(Query(query, "a vector"))


SEEDS = st.integers(0, 1000)


@given(seed=SEEDS, count=st.integers(1, 40))
def test_all_probes_find_what_all_cosines_say(
    embedding: Embedding, judge: Judge, seed: int, count: int
) -> None:
    found = find(embedding, vector(seed), count=count, probes=1000)
    assert found.extent.clusters == found.extent.probed == 4
    assert found.searched == found.of == found.extent.vectors
    assert pairs(found) == judge.ranked(vector(seed), "image", "kept")[:count]


@given(seed=SEEDS, probes=st.integers(1, 4))
def test_fewer_probes_compare_fewer_vectors_and_find_none_that_is_not_there(
    embedding: Embedding, judge: Judge, seed: int, probes: int
) -> None:
    found = find(embedding, vector(seed), count=10, probes=probes)
    more = find(embedding, vector(seed), count=10, probes=4)
    assert found.searched <= more.searched
    assert (found.searched < more.searched) == (probes < 4)
    ranked = judge.ranked(vector(seed), "image", "kept")
    assert set(pairs(found)) <= set(ranked)
    assert pairs(found) == sorted(pairs(found), key=ranked.index)


@pytest.mark.parametrize("side", ["image", "text"])
@pytest.mark.parametrize("among", ["kept", "dropped", "all"])
def test_samples_that_the_clusters_lack_are_found_among_all(
    embedding: Embedding, judge: Judge, side: Side, among: Any
) -> None:
    in_clusters = side == "image" and among == "kept"
    for seed in range(10):
        found = find(embedding, vector(seed), side=side, among=among, count=15)
        assert (found.extent.clusters is not None) == in_clusters
        expected = judge.ranked(vector(seed), side, among)
        assert pairs(found) == expected[:15]
        if not in_clusters:
            assert found.searched == found.of == len(expected)


@given(seed=SEEDS, above=st.floats(-1, 1), among=st.sampled_from(["kept", "all"]))
def test_the_number_above_a_bound_is_exact(
    embedding: Embedding, judge: Judge, seed: int, above: float, among: Any
) -> None:
    found = find(embedding, vector(seed), above=above, among=among, count=7)
    expected = [pair for pair in judge.ranked(vector(seed), "image", among) if pair[0] >= above]
    assert found.above == len(expected)
    assert pairs(found) == expected[:7]


def test_clusters_out_of_reach_are_not_read(embedding: Embedding, judge: Judge) -> None:
    near = embedding.vector(judge.sids[0], "image")
    assert near is not None
    found = find(embedding, near / np.linalg.norm(near), above=0.95)
    assert found.above is not None
    assert found.searched < found.extent.vectors


def test_a_condition_on_the_ledger(embedding: Embedding, judge: Judge) -> None:
    where = "clip_similarity > 0.9 OR step = 'similarity'"
    found = find(embedding, vector(1), among="all", where=where, count=500)
    expected = [
        (value, uid)
        for value, uid in judge.ranked(vector(1), "image", "all")
        for row in judge.rows.values()
        if row["uid"] == uid and (row["clip_similarity"] > 0.9 or row["step"] == "similarity")
    ]
    assert pairs(found) == expected
    assert len(expected) not in (0, len(judge.sids))
    assert found.searched == len(expected)


@pytest.mark.parametrize(
    "where", ["nonsense > 1", "kept; DROP TABLE ledger", "(kept", "sid IN (SELECT 1 FROM '/etc/x')"]
)
def test_a_condition_that_is_none_is_refused(embedding: Embedding, where: str) -> None:
    with pytest.raises(InputError, match=r"^--where: "):
        find(embedding, vector(1), where=where)


def test_more_like_a_sample_leaves_the_sample_out(embedding: Embedding, judge: Judge) -> None:
    row = next(row for row in judge.rows.values() if row["kept"])
    sides: tuple[Side, ...] = ("image", "text")
    for side in sides:
        query = queries.of_sample(embedding, row["uid"].upper(), side)
        found = Search(embedding, Asked(side=side, count=300)).find(query)
        expected = judge.ranked(query.vector, side, "kept")
        assert expected[0] == (1.0, row["uid"])
        assert pairs(found) == expected[1:]


def test_tables_that_were_cleaned_are_not_needed(embedded: Any, judge: Judge) -> None:
    """Without the clusters' buckets all vectors are read, and the same samples found."""
    root = embedded(keep=0.45)
    run = open_run(str(root))
    before = find(Embedding(run), vector(3), probes=4)
    clean_run(str(root), yes=True, json=True)
    after = find(Embedding(run), vector(3))
    assert after.extent.clusters is None
    assert pairs(after) == pairs(before)


def test_the_order_of_equal_cosines_is_that_of_uids(tmp_path: Path) -> None:
    samples = numbered(40)
    entry = write_input(tmp_path / "in", samples.take(np.random.default_rng(0).permutation(40)), 3)
    run_steps(tmp_path / "run", [entry], "- write", part_samples=7)
    found = find(Embedding(open_run(str(tmp_path / "run"))), np.ones(4, np.float32), count=11)
    assert [int(row["uid"], 16) for row in found.rows] == list(range(11))


def test_more_buckets_than_a_file_has_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a second wave deals them out."""
    monkeypatch.setattr(dealing, "GROUPS", 3)
    samples = blobs([30] * 10, [0.2] * 10, dim=DIM)
    entry = write_input(tmp_path / "in", samples, 2)
    run_steps(
        tmp_path / "run",
        [entry],
        "- semantic_duplicates: {clusters: 10, epsilon: 0.001}\n- write",
        part_samples=50,
    )
    assert (tmp_path / "run/tables/semantic_duplicates/members-dealt").is_dir()
    embedding, judge = Embedding(open_run(str(tmp_path / "run"))), Judge(tmp_path / "run")
    for seed in range(5):
        found = find(embedding, vector(seed), count=20, probes=10)
        assert pairs(found) == judge.ranked(vector(seed), "image", "kept")[:20]
        bound = found.rows[9]["cosine"]
        assert find(embedding, vector(seed), above=bound).above == 10


def test_a_run_without_embeddings_says_so(tmp_path: Path) -> None:
    write_tar(tmp_path / "in/0.tar", [Sample("a", picture(1), "one", {})])
    run_here(make_plan(tmp_path / "run", tmp_path / "in/*.tar", "- write"))
    with pytest.raises(StateError, match="has no embeddings: put an `embed` step into its job"):
        Embedding(open_run(str(tmp_path / "run")))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.ones(DIM + 1), f"has {DIM + 1} numbers, the run's embeddings have {DIM}"),
        (np.ones((2, DIM)), f"one vector of {DIM} numbers is needed"),
        (np.array(["x"] * DIM), "one vector"),
        (np.zeros(DIM), "not zero"),
        (np.full(DIM, np.nan), "all of it finite"),
    ],
)
def test_a_vector_that_fits_not_is_refused(
    embedding: Embedding, given: npt.NDArray[Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        queries.of_vector(embedding, given, "v.npy")


def test_embeddings_that_came_with_the_input_need_their_encoder(embedding: Embedding) -> None:
    with pytest.raises(JobError, match="say with --encoder which model made them"):
        encoded.of_text(embedding, "a cat")
    with pytest.raises(JobError, match=f"have 256 numbers, the run's embeddings have {DIM}"):
        encoded.of_text(embedding, "a cat", "demo")


def test_probes_where_nothing_is_probed_are_refused(embedding: Embedding) -> None:
    with pytest.raises(JobError, match=r"^--probes 3: no concepts hold just the vectors"):
        Search(embedding, Asked(side="text", probes=3))
    with pytest.raises(JobError, match=r"^--probes 3: --above searches every concept"):
        Search(embedding, Asked(above=0.3, probes=3))


def test_pictures_and_words_are_encoded_by_the_runs_own_encoder(clipart_run: FinishedRun) -> None:
    embedding = Embedding(clipart_run)
    row = next(row for row in ledger(Path(clipart_run.root)) if row["kept"])
    stored = {"image": embedding.vector(row["sid"], "image")}
    stored["text"] = embedding.vector(row["sid"], "text")
    data = bytes_of(clipart_run, row)
    for side, query in {
        "image": encoded.of_picture(embedding, data, "it.png"),
        "text": encoded.of_text(embedding, row["text"]),
    }.items():
        assert query.vector.astype(np.float16).tolist() == np.asarray(stored[side]).tolist()
    found = Search(embedding, Asked(count=1)).find(encoded.of_picture(embedding, data, "it.png"))
    assert found.rows[0]["uid"] == row["uid"]
    with pytest.raises(InputError, match=r"`it.png` cannot be searched for: "):
        encoded.of_picture(embedding, data[:40], "it.png")
    with pytest.raises(JobError, match="this run's own is `demo`"):
        encoded.of_text(embedding, "a cat", "demo")


@pytest.mark.slow
def test_a_run_on_an_object_store_answers_the_same(
    embedding: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(embedding.run.root)
    with stores.object_store() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        for name, data in contents(root).items():
            stores.put(store, f"run/{name}", data)
        far = Embedding(open_run(f"s3://{stores.BUCKET}/run"))
        for asked in ({"probes": 2}, {"above": 0.5}, {"side": "text"}, {"where": "sid % 2 = 0"}):
            here, there = (find(one, vector(5), **asked) for one in (embedding, far))
            assert there == here
        row = next(row for row in ledger(root) if row["kept"])
        query = queries.of_sample(far, row["uid"], "image")
        assert np.array_equal(
            query.vector, queries.of_sample(embedding, row["uid"], "image").vector
        )


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("", "--where is empty"),
        ("true) union (select 1", "syntax error"),
        ("kept) OR (true", "syntax error"),
        ("kept, kept", "only a single expression"),
        ("kept; select 1", "more than one"),
        ("uid = '\ud800'", "incompatible function arguments"),
        ("cast(uid as int) > 0", "Could not convert"),
        ("error('no')", "no"),
    ],
)
@pytest.mark.parametrize("among", ["kept", "all"])
def test_a_condition_that_is_none_is_refused_and_no_damage(
    embedding: Embedding, where: str, said: str, among: Any
) -> None:
    with pytest.raises(InputError, match=said) as told:
        find(embedding, vector(1), where=where, among=among)
    assert str(told.value).startswith("--where")
    assert "damaged" not in str(told.value)


@pytest.mark.parametrize("exponent", [-300, -100, 30, 300])
def test_a_vector_of_any_length_is_the_same_query(embedding: Embedding, exponent: int) -> None:
    plain = queries.of_vector(embedding, vector(4).astype(np.float64), "v")
    scaled = queries.of_vector(embedding, vector(4).astype(np.float64) * 2.0**exponent, "v")
    assert scaled.vector.tolist() == plain.vector.tolist()


def test_a_bound_that_is_no_number_is_refused(embedding: Embedding) -> None:
    with pytest.raises(JobError, match=r"^--above nan: is no cosine"):
        Search(embedding, Asked(above=float("nan")))


def test_a_query_from_an_address_is_shown_without_its_secret(embedding: Embedding) -> None:
    address = "s3://KEY:SECRET@bucket/v.npy"
    query = queries.of_vector(embedding, vector(1), address)
    assert "SECRET" not in query.what
    assert "bucket/v.npy" in query.what


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"count": 0}, "-n 0: is a whole number, 1 or more"),
        ({"count": -3}, "-n -3: is a whole number"),
        ({"count": 1.5}, "-n 1.5: is a whole number"),
        ({"count": "3"}, "-n '3': is a whole number"),
        ({"probes": 0}, "--probes 0: is a whole number"),
        ({"above": "x"}, "--above x: is no cosine"),
        ({"above": 1.5}, "--above 1.5: is no cosine: give a number from -1 to 1"),
        ({"above": -float("inf")}, "--above -inf: is no cosine"),
        ({"dedup": -0.5}, "--dedup -0.5: is a cosine between 0 and 1"),
        ({"dedup": float("nan")}, "--dedup nan: is a cosine between 0 and 1"),
        ({"where": 3}, "--where 3: is no condition"),
        ({"side": "both"}, "--side both: is one of image, text"),
        ({"among": "some"}, "--among some: is one of kept, dropped, all"),
    ],
)
def test_what_no_search_can_have_is_refused(asked: dict[str, Any], said: str) -> None:
    """As code may give it, where no command line has looked at it."""
    with pytest.raises(JobError, match=said):
        Asked(**asked)


def test_numbers_of_numpy_are_numbers(embedding: Embedding) -> None:
    counted: dict[str, Any] = {"count": np.int64(3), "probes": np.int32(2)}
    assert len(find(embedding, vector(1), **counted).rows) == 3


def test_a_text_that_is_none_is_refused() -> None:
    wrong: Any = 5
    with pytest.raises(JobError, match="--text 5: is no text"):
        queries.Sought(text=wrong).check()
