"""Why samples went, computed again from the raw input by brute force: the stories of `tamis explain` are true.

Of the project only the demo model, the perceptual hash and the stored centroids are used; all else is written anew.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tamis.pipeline import encoders
from tamis.pipeline.algorithms.near_pictures import details, layouts
from tamis.pipeline.encoders.base import Encoder
from tamis.pipeline.inputs.detail import detail_of
from tamis.pipeline.inputs.images import MAX_PIXELS, inspect
from tamis.pipeline.inputs.phash import phash
from tests.support.demo_run import DemoRun, Members, Row, raw, raw_input
from tests.support.duplicates import led
from tests.support.encoded import images, seen
from tests.support.running import Sample, make_plan, run_here, write_tar
from tests.support.tables import with_sids

pytestmark = pytest.mark.slow

Floats = npt.NDArray[np.float64]
Reaching = Callable[[str], list[Row]]

BOUNDS: dict[str, tuple[float, float]] = {
    "characters": (4, np.inf),
    "min_side": (64, np.inf),
    "aspect_ratio": (0, 3.0),
}
"""The preset's rules, in its order."""


@pytest.fixture(scope="module")
def reaching(demo_run: DemoRun) -> Reaching:
    """The ledger's rows of what no step before a step dropped."""
    rows = demo_run.ledger()
    steps = [step["step"] for step in demo_run.manifest["steps"]]

    def alive(step: str) -> list[Row]:
        after = {*steps[steps.index(step) :], None}
        return [row for row in rows if row["step"] in after]

    return alive


def gone(rows: Iterable[Row], step: str) -> dict[str, Row]:
    """uid -> row of what ``step`` dropped; there is something."""
    found = {row["uid"]: row for row in rows if row["step"] == step}
    assert found
    return found


def test_damage(tmp_path: Path) -> None:
    """A picture that ends early, in one tar; the other tar is cut off in the middle of its last picture."""
    named = sorted(raw_input().items())[:3]
    samples = [
        Sample(key, members["png"], members["txt"].decode(), {}) for (_, key), members in named
    ]
    samples[1] = replace(samples[1], image=samples[1].image[:-300])
    whole = write_tar(tmp_path / "data" / "0.tar", samples)
    with tarfile.open(whole) as tar:
        broken, last = (tar.getmember(f"{sample.key}.png") for sample in samples[1:])
    cut = tmp_path / "data" / "1.tar"
    cut.write_bytes(whole.read_bytes()[: last.offset_data + last.size // 2])
    steps = "  - signals: [words]\n  - rules: {words: {min: 1}}\n  - write"
    run_here(make_plan(tmp_path / "run", tmp_path / "data" / "*.tar", steps))
    run = DemoRun(tmp_path / "run", {}, {})
    dropped = {(row["source"], row["key"]): row["uid"] for row in run.ledger("NOT kept")}
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(samples[1].image)).load()
    said = run.dropped_by("ingest", dropped["input/0.tar", samples[1].key])
    assert (said["reason"], said["error_offset"]) == ("truncated_image", broken.offset_data)
    with tarfile.open(cut) as tar, pytest.raises(tarfile.ReadError, match="unexpected end"):
        tar.extractfile(last.name).read()  # type: ignore[union-attr]
    said = run.dropped_by("ingest", dropped["input/1.tar", samples[2].key])
    assert (said["reason"], said["error_offset"]) == ("truncated_archive", last.offset)
    assert len(run.ledger("kept")) == 3  # all that is whole


def test_rules(demo_run: DemoRun, reaching: Reaching) -> None:
    rows = reaching("rules")
    failing = {row["uid"]: found for row in rows if (found := failures(raw(row)))}
    dropped = gone(rows, "rules")
    assert dropped.keys() == failing.keys()
    for uid, row in dropped.items():
        rule, reason, value, bound = failing[uid][0]
        assert (row["rule"], row["reason"]) == (rule, reason)
        assert row["value"] == pytest.approx(value, rel=1e-12)
        assert row["bound"] == bound
        assert row["failed"] == [found[0] for found in failing[uid]]
    for rule in {found[0][0] for found in failing.values()}:
        uid = next(uid for uid, found in failing.items() if found[0][0] == rule)
        said = demo_run.dropped_by("rules", uid)
        _, reason, value, bound = failing[uid][0]
        assert (said["rule"], said["reason"], said["bound"]) == (rule, reason, bound)
        assert said["value"] == pytest.approx(value, rel=1e-12)
        assert {told["rule"] for told in said["rules"] if not told["passes"]} == {
            found[0] for found in failing[uid]
        }


def failures(members: Members) -> list[tuple[str, str, float, float]]:
    """(rule, reason, value, bound) of each rule that a sample fails."""
    width, height = Image.open(io.BytesIO(members["png"])).size
    values = {
        "characters": len(members["txt"].decode()),
        "min_side": min(width, height),
        "aspect_ratio": max(width, height) / min(width, height),
    }
    found: list[tuple[str, str, float, float]] = []
    for rule, (low, high) in BOUNDS.items():
        if values[rule] < low:
            found.append((rule, "below_minimum", values[rule], low))
        elif values[rule] > high:
            found.append((rule, "above_maximum", values[rule], high))
    return found


def test_exact_duplicates(demo_run: DemoRun, reaching: Reaching) -> None:
    rows = reaching("exact_duplicates")
    same: dict[str, list[str]] = {}
    for row in rows:
        same.setdefault(hashlib.sha256(raw(row)["png"]).hexdigest(), []).append(row["uid"])
    survivor = {uid: min(uids) for uids in same.values() for uid in uids if uid != min(uids)}
    dropped = gone(rows, "exact_duplicates")
    assert {uid: row["partner_uid"] for uid, row in dropped.items()} == survivor
    assert {uid: row["survivor_uid"] for uid, row in dropped.items()} == survivor
    uid = min(survivor)
    said = demo_run.dropped_by("exact_duplicates", uid)
    assert said["reason"] == "same_image"
    assert said["partner"]["uid"] == said["survivor"]["uid"] == survivor[uid]
    assert raw(said["partner"])["png"] == raw(dropped[uid])["png"]


def test_near_duplicates(demo_run: DemoRun, reaching: Reaching) -> None:
    rows = reaching("near_duplicates")
    edges = near_edges(rows)
    uids = sorted(row["uid"] for row in rows)
    ends = np.array([[uids.index(uid) for uid in edge] for edge in edges])
    survivor = led(ends[:, 0], ends[:, 1], uids, list(edges.values()))
    dropped = gone(rows, "near_duplicates")
    assert set(dropped) == set(survivor)
    for uid, row in dropped.items():
        leader, value = survivor[uid]
        assert row["survivor_uid"] == row["partner_uid"] == leader
        assert row["value"] == row["partner_value"] == pytest.approx(value, abs=1e-12)
    similar = [uid for uid in sorted(dropped) if dropped[uid]["value"] < 1]
    for uid in [*similar[:1], min(dropped)]:
        said = demo_run.dropped_by("near_duplicates", uid)
        assert (said["reason"], said["rule"], said["bound"]) == ("near_caption", "jaccard", 0.8)
        ours, theirs = (
            shingles(raw(row)["txt"].decode()) for row in (dropped[uid], said["partner"])
        )
        assert said["value"] == pytest.approx(len(ours & theirs) / len(ours | theirs), abs=1e-12)
        looks = look(raw(dropped[uid])["png"]), int(said["partner"]["phash"], 16)
        assert look(raw(said["partner"])["png"]) == looks[1]
        assert (looks[0] ^ looks[1]).bit_count() <= 8
        assert said["survivor"]["uid"] == survivor[uid][0]
        assert said["survivor"]["step"] != "near_duplicates"


def near_edges(rows: list[Row]) -> dict[tuple[str, str], float]:
    """All pairs with a Jaccard similarity of 0.8, pictures within 8 bits, layouts within .11, details within .18."""
    sets = {row["uid"]: shingles(raw(row)["txt"].decode()) for row in rows}
    looks = {row["uid"]: look(raw(row)["png"]) for row in rows}
    cells = {row["uid"]: inspect(raw(row)["png"]).layout for row in rows}
    by_uid = {row["uid"]: row for row in rows}
    found = {}
    for a, b in combinations(sorted(sets), 2):
        jaccard = len(sets[a] & sets[b]) / (len(sets[a] | sets[b]) or 1)
        if jaccard >= 0.8 and (looks[a] ^ looks[b]).bit_count() <= 8:
            both = np.frombuffer(cells[a] + cells[b], np.uint8).reshape(2, -1)
            small = b"".join(detail_of(raw(by_uid[uid])["png"], MAX_PIXELS) for uid in (a, b))
            opened = np.frombuffer(small, np.uint8).reshape(2, -1)
            pair = np.array([0]), np.array([1])
            alike = layouts.difference(both, *pair)[0] <= 0.11
            if alike and details.difference(opened, *pair)[0] <= 0.18:
                found[a, b] = jaccard
    return found


def shingles(caption: str) -> set[str]:
    """The character trigrams of a caption: NFKC, case folded, single spaces."""
    folded = unicodedata.normalize("NFKC", caption).casefold()
    text = " ".join(unicodedata.normalize("NFKC", folded).split())
    return {text[i : i + 3] for i in range(max(1, len(text) - 2))} if text else set()


def look(png: bytes) -> int:
    """The perceptual hash of the picture on white."""
    grey = on_white(png, "L")
    step = min(grey.size) // 192
    if step > 1:
        small = (grey.width // step, grey.height // step)
        grey = grey.resize(small, Image.Resampling.NEAREST)
    return int(phash(np.asarray(grey.resize((32, 32), Image.Resampling.BILINEAR))))


def on_white(png: bytes, mode: str) -> Image.Image:
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    white = Image.new(mode, picture.size, "white")
    white.paste(picture.convert(mode), mask=picture.getchannel("A"))
    return white


@pytest.fixture(scope="module")
def demo() -> Encoder:
    return encoders.load("demo")


def picture_vector(demo: Encoder, row: Row) -> Floats:
    pixels = seen("demo", [on_white(raw(row)["png"], "RGB")])
    found: Floats = images(demo, pixels)[0].astype(np.float64)
    return found


def test_similarity_of_picture_and_caption(
    demo_run: DemoRun, reaching: Reaching, demo: Encoder
) -> None:
    dropped = gone(reaching("similarity"), "similarity")
    for uid in sorted(dropped)[:3]:
        said = demo_run.dropped_by("similarity", uid)
        (text,) = demo.encode_texts([raw(dropped[uid])["txt"].decode()])
        cosine = float(picture_vector(demo, dropped[uid]) @ text.astype(np.float64))
        assert (said["reason"], said["rule"]) == ("below_minimum", "clip_similarity")
        assert said["value"] == pytest.approx(cosine, abs=1e-5)
        assert cosine < said["bound"] == 0.1


def stored(demo_run: DemoRun, phase: str, column: str) -> dict[int, Any]:
    """sid -> a column of the tables that a phase has made part by part."""
    table = with_sids(demo_run.root, *phase.split("/"))
    return dict(zip(table["sid"].to_pylist(), table[column].to_pylist(), strict=True))


def vectors(demo_run: DemoRun) -> dict[int, Floats]:
    """sid -> the stored embedding of the picture."""
    raw_vectors = stored(demo_run, "embed/vectors", "image")
    return {
        sid: np.frombuffer(data, np.float16).astype(np.float64) for sid, data in raw_vectors.items()
    }


def centroids(demo_run: DemoRun, step: str) -> Floats:
    path = demo_run.root / "tables" / step / "train" / "centroids.parquet"
    table = pq.ParquetFile(path).read()
    rows = [np.frombuffer(data, np.float32) for data in table["centroid"].to_pylist()]
    found: Floats = np.stack(rows).astype(np.float64)
    return found


def test_semantic_duplicates(demo_run: DemoRun, reaching: Reaching, demo: Encoder) -> None:
    rows = {row["uid"]: row for row in reaching("semantic_duplicates")}
    vector = vectors(demo_run)
    cluster = stored(demo_run, "semantic_duplicates/assign", "cluster")
    middle = centroids(demo_run, "semantic_duplicates")
    dropped = gone(rows.values(), "semantic_duplicates")

    def hardness(row: Row) -> tuple[float, str]:
        return float(vector[row["sid"]] @ middle[cluster[row["sid"]]]), row["uid"]

    for row in rows.values():
        mine = cluster[row["sid"]]
        assert mine == int(np.argmax(middle @ vector[row["sid"]]))
        before = [
            float(vector[row["sid"]] @ vector[other["sid"]])
            for other in rows.values()
            if cluster[other["sid"]] == mine and hardness(other) < hardness(row)
        ]
        assert (max(before, default=0.0) > 1 - 0.07) == (row["uid"] in dropped)
    uid = min(dropped)
    said = demo_run.dropped_by("semantic_duplicates", uid)
    partner = rows[said["partner"]["uid"]]
    cosine = float(picture_vector(demo, dropped[uid]) @ picture_vector(demo, partner))
    assert (said["reason"], said["rule"]) == ("semantic_duplicate", "epsilon")
    assert said["value"] == said["partner_value"] == pytest.approx(cosine, abs=2e-3)
    assert said["bound"] == pytest.approx(0.93)
    assert cluster[partner["sid"]] == cluster[dropped[uid]["sid"]]
    assert hardness(partner) < hardness(dropped[uid])
    assert said["survivor"]["step"] != "semantic_duplicates"


def test_density(demo_run: DemoRun, reaching: Reaching) -> None:
    rows = reaching("density")
    dropped = gone(rows, "density")
    uid = max(dropped)
    said = demo_run.dropped_by("density", uid)
    place = said["place"]
    concept = Concepts(demo_run, rows)
    budget = len(rows) * 4 // 10
    quotas = concept.quotas(budget)
    assert quotas.sum() == budget == len(rows) - len(dropped)
    mine = place["cluster"]
    assert place["size"] == concept.sizes[mine]
    assert place["d_intra"] == pytest.approx(concept.intra[mine], rel=1e-5)
    assert place["d_inter"] == pytest.approx(concept.inter[mine], rel=1e-9)
    assert place["complexity"] == pytest.approx(concept.complexity[mine], rel=1e-5)
    assert place["quota"] == said["bound"] == quotas[mine]
    assert place["rank"] == said["value"] == concept.rank[uid]
    assert place["by_lot"]
    assert (said["reason"], said["rule"]) == ("over_quota", "quota")
    assert place["rank"] > place["quota"]
    for row in rows:  # and nobody else's place is another
        assert (row["rank"], row["quota"]) == (concept.rank[row["uid"]], quotas[row["cluster"]])
        assert (row["rank"] > row["quota"]) == (row["uid"] in dropped)


def lot(uid: str, seed: int = 42) -> int:
    """The lot of a uid for its place in a concept: splitmix64 over a seed and both halves of the uid."""
    state = int.from_bytes(hashlib.blake2b(f"{seed}/ranks".encode(), digest_size=8).digest(), "big")
    for half in (uid[:16], uid[16:]):
        state = ((state ^ int(half, 16)) + 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
    return state


class Concepts:
    """Sizes, complexities and ranks of the concepts, from the stored centroids and assignments."""

    def __init__(self, demo_run: DemoRun, rows: list[Row]) -> None:
        middle = centroids(demo_run, "density")
        cluster = stored(demo_run, "density/assign", "cluster")
        similarity = stored(demo_run, "density/assign", "similarity")
        own = np.array([cluster[row["sid"]] for row in rows])
        distance = np.array([np.float32(1) - np.float32(similarity[row["sid"]]) for row in rows])
        numbers = range(len(middle))
        self.sizes = np.array([np.sum(own == number) for number in numbers])
        self.intra = np.array([distance[own == number].mean(dtype=float) for number in numbers])
        between = 1 - middle @ middle.T
        np.fill_diagonal(between, np.inf)
        self.inter = np.sort(between, axis=1)[:, : min(20, len(middle) - 1)].mean(axis=1)
        self.complexity = self.inter * self.intra
        self.rank: dict[str, int] = {}
        for number in numbers:
            inside = [(lot(rows[i]["uid"]), rows[i]["uid"]) for i in np.flatnonzero(own == number)]
            for rank, (_, uid) in enumerate(sorted(inside), 1):
                self.rank[uid] = rank

    def quotas(self, budget: int) -> npt.NDArray[np.int64]:
        """The quadratic programme by bisection of its multiplier; what is left over goes to the largest remainders."""
        weight = np.exp(self.complexity / 0.1)
        target = budget * weight / weight.sum()
        lower = np.minimum(1, self.sizes - 1)
        low, high = -float(budget), float(budget)
        for _ in range(200):
            middle = (low + high) / 2
            if np.clip(target + middle, lower, self.sizes).sum() < budget:
                low = middle
            else:
                high = middle
        optimum = np.clip(target + high, lower, self.sizes)
        whole: npt.NDArray[np.int64] = np.floor(optimum + 1e-9).astype(np.int64)
        rest = np.where(whole < self.sizes, optimum - whole, -1)
        whole[np.argsort(-rest, kind="stable")[: budget - whole.sum()]] += 1
        return whole
