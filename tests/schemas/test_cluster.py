"""A cluster in words: what is understood, what is refused, and how many tasks fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.jobs.cli.app import main
from tamis.schemas.cluster import Nodes, RayCluster, check_cluster, parse_cluster, parse_rates
from tamis.schemas.errors import ClusterError


@given(
    st.integers(1, 1000),
    st.integers(1, 256),
    st.integers(1, 4000),
    st.integers(0, 16),
    st.one_of(st.none(), st.integers(0, 10_000)),
)
def test_what_is_said_is_understood(
    count: int, cpus: int, memory: int, gpus: int, cents: int | None
) -> None:
    price = "" if cents is None else f"@{cents / 100}"
    said = f"{count}x({cpus}cpu,{memory}GB,{gpus}gpu){price}"
    meant = Nodes(
        count=count,
        cpus=cpus,
        memory=memory * 10**9,
        gpus=gpus,
        per_hour=None if cents is None else cents / 100,
    )
    assert parse_cluster(said) == RayCluster(nodes=(meant,))
    assert parse_cluster(f"{said} + 2 x (1 cpu)") == RayCluster(
        nodes=(meant, Nodes(count=2, cpus=1))
    )


def test_a_file_says_the_same() -> None:
    raw = {"nodes": [{"count": 8, "cpus": 16, "memory": "64GB", "gpus": 1, "per_hour": 2.5}]}
    assert check_cluster(raw, "c.yaml") == parse_cluster("8x(16cpu,64GB,1gpu)@2.50")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("8 nodes", "`8 nodes` is no group of nodes"),
        ("8x(16cpu,64)", "`64` is no size"),
        ("8x(64GB)", "nodes.0.cpus: Field required"),
        ("0x(1cpu)", "nodes.0.count"),
        ("9999999999x(1cpu)", "nodes.0.count"),
        ("8x(16cpu,8cpu)", "has two sizes for cpus"),
    ],
)
def test_what_is_not_understood_is_one_line(
    said: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ClusterError, match=message):
        parse_cluster(said)
    with pytest.raises(SystemExit) as ended:
        main(["plan", "demo", "--output", "/nowhere", "--cluster", said])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "8x(16cpu,64GB,1gpu)@2.50" in told


def test_tasks_lie_on_one_node_each() -> None:
    cluster = parse_cluster("3x(4cpu,8GB) + 2x(8cpu,32GB,2gpu)")
    assert cluster.slots(1) == 28
    assert cluster.slots(3) == 3 + 4
    assert cluster.slots(1, gpus=0.5) == 8
    assert cluster.slots(1, memory=5e9) == 3 + 2 * 6
    assert cluster.slots(16) == 0
    assert cluster.per_hour is None
    assert parse_cluster("3x(4cpu)@2 + 1x(1cpu)@0.5").per_hour == 6.5


def test_rates() -> None:
    assert parse_rates("cpu=0.04,gpu=2,storage=.023") == {"cpu": 0.04, "gpu": 2, "storage": 0.023}
    assert parse_rates("") == {}
    for wrong in ("cpu", "disk=1", "cpu=-1", "cpu=1.2.3"):
        with pytest.raises(ClusterError, match=r"looks like cpu=0\.04"):
            parse_rates(wrong)
