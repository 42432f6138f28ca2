"""Near-duplicate pictures through the whole step, against all pairs of the hashes that ingest stored."""

from __future__ import annotations

import dataclasses
import io
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tamis.pipeline.inputs.detail import detail_of
from tamis.pipeline.steps.duplicates import grouping
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared import details as shared_details
from tamis.schemas.errors import JobError
from tests.support import duplicates
from tests.support.running import Sample, contents, ledger, make_plan, read_tar, run_here, write_tar

Rows = list[dict[str, Any]]
EDGES = ("equal", "seen")


def damaged(sample: Sample, number: int) -> Sample:
    """Smaller, or compressed with loss, or the same picture once more."""
    image = Image.open(io.BytesIO(sample.image)).convert("RGB")
    out = io.BytesIO()
    if number % 3 == 0:
        image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(out, "PNG")
    elif number % 3 == 1:
        image.save(out, "JPEG", quality=20)
        image = Image.open(io.BytesIO(out.getvalue()))
        out = io.BytesIO()
        image.save(out, "PNG")
    else:
        image.save(out, "PNG", compress_level=0)
    return dataclasses.replace(sample, key=f"{sample.key}-{number}", image=out.getvalue())


@pytest.fixture(scope="module")
def samples(clipart_example: Path) -> list[Sample]:
    draw = random.Random(6)
    real = [s for n in range(2) for s in read_tar(clipart_example / f"{n:05d}.tar")]
    everything = real + [damaged(draw.choice(real), number) for number in range(90)]
    draw.shuffle(everything)
    return [
        dataclasses.replace(s, fields={**s.fields, "uid": f"{draw.getrandbits(128):032x}"})
        for s in everything
    ]


@pytest.fixture(scope="module")
def ingested(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    half = len(samples) // 2
    write_tar(folder / "0.tar", samples[:half])
    write_tar(folder / "1.tar", samples[half:])
    return folder


def run_pictures(folder: Path, settings: str, **job: Any) -> Rows:
    steps = f"  - near_pictures: {settings}"
    return duplicates.run_in(make_plan(folder / "run", folder / "*.tar", steps, **job))


@pytest.fixture(scope="module")
def pictures(samples: list[Sample]) -> dict[str, bytes]:
    return {str(sample.fields["uid"]): sample.image for sample in samples}


def expected(
    rows: Rows,
    pictures: dict[str, bytes],
    radius: int,
    larger: bool = False,
    bound: float = 0.11,
    detail: float = 0.18,
) -> dict[str, tuple[str, float]]:
    """Whom a pass over all pairs drops, for whom and at how many bits."""
    better = [float(row["width"] * row["height"]) if larger else 0.0 for row in rows]
    a, b, bits = duplicates.alike_pictures(rows, radius, bound, pictures, detail)
    found = duplicates.led(a, b, [row["uid"] for row in rows], (-bits).tolist(), better)
    return {uid: (leader, -value) for uid, (leader, value) in found.items()}


def fell(rows: Rows) -> dict[str, tuple[str, float]]:
    return {
        row["uid"]: (row["survivor_uid"], row["value"])
        for row in rows
        if row["step"] == "near_pictures"
    }


@pytest.mark.parametrize(
    ("radius", "bound", "detail"),
    [(0, 0.11, 0.2), (1, 0.11, 0.05), (4, 0.11, 0.2), (8, 0.3, 0.2), (16, 0.2, 0.5)],
)
def test_drops_are_those_of_a_pass_over_all_pairs(
    radius: int, bound: float, detail: float, ingested: Path, pictures: dict[str, bytes]
) -> None:
    settings = f"{{hamming: {radius}, difference: {bound}, detail: {detail}}}"
    rows = run_pictures(ingested, settings)
    wanted = expected(rows, pictures, radius, bound=bound, detail=detail)
    assert fell(rows) == wanted
    assert len(wanted) > 40
    by_uid = {row["uid"]: row for row in rows}
    edges = duplicates.edges(ingested / "run", "near_pictures", EDGES, "bits")
    for (a, b), bits in edges.items():
        assert bits == (by_uid[a]["phash"] ^ by_uid[b]["phash"]).bit_count() <= radius
    for uid in wanted:
        row, partner = by_uid[uid], by_uid[by_uid[uid]["partner_uid"]]
        assert row["survivor_uid"] == row["partner_uid"]
        assert partner["kept"]
        assert row["value"] == row["partner_value"] == (row["phash"] ^ partner["phash"]).bit_count()
        assert (row["reason"], row["rule"], row["bound"]) == ("near_picture", "hamming", radius)


@pytest.mark.parametrize("group", ["leader", "chain"])
def test_shares_and_partitions_decide_as_one_task(
    group: str, ingested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = f"{{hamming: 8, difference: 0.3, prefer: larger, group: {group}}}"
    run_pictures(ingested, settings)
    one = contents(ingested / "run/ledger")
    monkeypatch.setattr(bucket_counts, "HASHES", 100)
    monkeypatch.setattr(bucket_counts, "PAIRS", 10)
    monkeypatch.setattr(grouping, "EDGES", 10)
    monkeypatch.setattr(grouping, "PARTITION", 20)
    run_pictures(ingested, settings)
    assert contents(ingested / "run/ledger") == one
    folder = ingested / "run/tables/near_pictures"
    assert len(list((folder / "similar").glob("bucket-*-*.parquet"))) > 20
    assert len(list((folder / "groups").glob("bucket-*.parquet"))) > 3
    assert len(list((folder / "seen").glob("bucket-*.parquet"))) > 3


def test_in_chains_one_of_each_component_is_kept(
    ingested: Path, pictures: dict[str, bytes]
) -> None:
    rows = run_pictures(ingested, "{hamming: 8, difference: 0.3, group: chain}")
    a, b, _ = duplicates.alike_pictures(rows, 8, 0.3, pictures)
    label = duplicates.groups(a, b, len(rows))
    wanted = duplicates.survivors(label, [row["uid"] for row in rows])
    assert duplicates.dropped(rows, "near_pictures") == wanted


def test_larger_pictures_are_kept_where_asked(ingested: Path, pictures: dict[str, bytes]) -> None:
    rows = run_pictures(ingested, "{hamming: 4, prefer: larger}")
    wanted = expected(rows, pictures, 4, larger=True)
    assert fell(rows) == wanted
    assert any(uid < leader for uid, (leader, _) in wanted.items())


def test_the_best_copy_is_kept_where_a_signal_says_so(
    ingested: Path, pictures: dict[str, bytes]
) -> None:
    steps = """
  - signals: [characters]
  - near_pictures: {hamming: 8, difference: 0.3, prefer: {signal: characters}}"""
    rows = duplicates.run_in(make_plan(ingested / "run", ingested / "*.tar", steps))
    uid, better = [row["uid"] for row in rows], [float(len(row["text"])) for row in rows]
    a, b, bits = duplicates.alike_pictures(rows, 8, 0.3, pictures)
    found = duplicates.led(a, b, uid, (-bits).tolist(), better)
    assert fell(rows) == {one: (leader, -value) for one, (leader, value) in found.items()}
    with pytest.raises(JobError, match="no signal `characters`"):
        make_plan(ingested / "run", ingested / "*.tar", steps.replace("characters]", "words]"))


def test_without_details_layouts_alone_decide(ingested: Path) -> None:
    rows = run_pictures(ingested, "{hamming: 8, difference: 0.3, detail: null}")
    a, b, bits = duplicates.alike_pictures(rows, 8, 0.3)
    found = duplicates.led(a, b, [row["uid"] for row in rows], (-bits).tolist())
    assert fell(rows) == {uid: (leader, -value) for uid, (leader, value) in found.items()}
    stricter = fell(run_pictures(ingested, "{hamming: 8, difference: 0.3}"))
    assert 0 < len(stricter) < len(found)


def test_a_looser_bound_opens_only_pictures_that_were_not_yet(
    ingested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_at() -> int:
        folder = ingested / "run/tables/near_pictures/details"
        return sum(pq.ParquetFile(path).metadata.num_rows for path in folder.glob("part-*.parquet"))

    opened: list[bytes] = []

    def counted(data: bytes, max_pixels: int) -> bytes:
        opened.append(data)
        return detail_of(data, max_pixels)

    run_pictures(ingested, "{hamming: 1}")
    before = looked_at()
    monkeypatch.setattr(shared_details, "detail_of", counted)
    run_pictures(ingested, "{hamming: 8, difference: 0.3}")
    assert 0 < len(opened) == looked_at() - before < looked_at()


def test_details_are_compressed_in_their_files(ingested: Path) -> None:
    run_pictures(ingested, "{hamming: 8, difference: 0.3}")
    folder = ingested / "run/tables/near_pictures"
    for phase, files in (("details", "part-*"), ("shown", "bundle-*")):
        paths = sorted((folder / phase).glob(f"{files}.parquet"))
        assert paths
        for path in paths:
            metadata = pq.ParquetFile(path).metadata
            for group in range(metadata.num_row_groups):
                column = metadata.row_group(group).column(1)
                assert (column.path_in_schema, column.compression) == ("detail", "ZSTD")
                assert column.num_values < 50 or 2 * column.total_compressed_size < (
                    column.total_uncompressed_size
                )


def flag(colours: list[str], across: bool) -> Image.Image:
    """Three stripes."""
    image = Image.new("RGB", (90, 60))
    for place, colour in enumerate(colours):
        box = (
            (0, 20 * place, 90, 20 * place + 20) if across else (30 * place, 0, 30 * place + 30, 60)
        )
        image.paste(colour, box)
    return image


def test_flags_of_different_countries_stay(samples: list[Sample], tmp_path: Path) -> None:
    """Stripes and flat colours leave the hash little to tell: light and colour decide."""
    flags = [
        flag(["#4891d9", "black", "white"], across=True),
        flag(["#00319c", "#ffde00", "#de2110"], across=False),
        flag(["#002395", "white", "#ed2939"], across=False),
        flag(["#009246", "white", "#ce2b37"], across=False),
        flag(["white", "#0039a6", "#d52b1e"], across=True),
        flag(["#ae1c28", "white", "#21468b"], across=True),
        *(Image.new("RGB", (90, 60), colour) for colour in ("red", "white", "black", "blue")),
    ]
    given = []
    for number, image in enumerate(flags):
        for copy in range(2):
            out = io.BytesIO()
            image.resize((90 - 30 * copy, 60 - 20 * copy)).save(out, "PNG")
            one = dataclasses.replace(samples[0], key=f"{number}-{copy}", image=out.getvalue())
            given.append(dataclasses.replace(one, fields={}))
    write_tar(tmp_path / "0.tar", given)
    rows = run_pictures(tmp_path, "{hamming: 8}")
    by_uid = {row["uid"]: row["key"] for row in rows}
    pairs = {(row["key"][0], by_uid[row["partner_uid"]][0]) for row in rows if not row["kept"]}
    assert pairs == {(str(n), str(n)) for n in range(len(flags))}


def test_only_the_living_are_compared(ingested: Path, pictures: dict[str, bytes]) -> None:
    steps = """
  - signals: [characters]
  - rules: {characters: {min: 60}}
  - near_pictures: {hamming: 4}"""
    rows = duplicates.run_in(make_plan(ingested / "run", ingested / "*.tar", steps))
    living = [row for row in rows if len(row["text"]) >= 60]
    assert 0 < len(living) < len(rows)
    assert fell(rows) == expected(living, pictures, 4)


@pytest.mark.parametrize("step", ["near_pictures", "near_duplicates: {agree: phash}"])
def test_without_pictures_there_is_nothing_to_compare(step: str, tmp_path: Path) -> None:
    uid = [f"{row:032x}" for row in range(4)]
    pq.write_table(pa.table({"uid": uid, "text": ["the same"] * 4}), tmp_path / "a.parquet")
    with pytest.raises(JobError, match="compares pictures, and no input has any"):
        make_plan(tmp_path / "run", tmp_path / "a.parquet", f"  - {step}")


def test_a_sample_without_a_picture_is_nobodys_duplicate(
    samples: list[Sample], tmp_path: Path
) -> None:
    """Of a tar with pictures and metadata without, the tar alone is compared."""
    write_tar(
        tmp_path / "a.tar", [samples[0], dataclasses.replace(samples[0], key="again", fields={})]
    )
    uid = [f"{row:032x}" for row in range(4)]
    pq.write_table(pa.table({"uid": uid, "text": [samples[0].text] * 4}), tmp_path / "b.parquet")
    entries = [
        {"path": f"{tmp_path}/a.tar", "name": "a"},
        {"path": f"{tmp_path}/b.parquet", "name": "b"},
    ]
    for step in ("near_pictures", "near_duplicates: {agree: phash}"):
        run_here(make_plan(tmp_path / "run", "", f"  - {step}", input=entries))
        kept = [row["kept"] for row in ledger(tmp_path / "run")]
        assert (kept.count(False), kept[2:]) == (1, [True] * 4)
