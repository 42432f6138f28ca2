"""The shards that a run writes can be trained on: a small CLIP from scratch, through open_clip's own loader."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest

from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tests.conftest import ROOT
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

BENCHMARK = ROOT / "tests" / "benchmarks" / "train_clip.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    ensure_torchvision()
    spec = importlib.util.spec_from_file_location("train_clip", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_small_clip_trains_on_the_shards(
    benchmark: ModuleType, clipart_example: Path, tmp_path: Path
) -> None:
    steps = "- rules: {words: {min: 2}}\n- exact_duplicates\n- write: {samples_per_shard: 60}\n"
    signals = "- signals: [words]\n"
    made = make_plan(tmp_path / "run", clipart_example / "00000.tar", signals + steps)
    run_here(made)
    assert len(list((tmp_path / "run" / "shards").glob("*.tar"))) > 1
    given = [f"chosen={tmp_path}/run", "--holdout", str(clipart_example / "0000{2..3}.tar")]
    given += ["--size", "tiny", "--steps", "6", "--batch", "16", "--seeds", "1", "--workers", "0"]
    found = benchmark.compare(benchmark.arguments([*given, "--rate", "2e-3"]))
    assert found["held_out"] > 100
    assert found["left_out"] > 0  # what stands in both
    figures = found["runs"]["chosen"]
    scale = 1 / 0.07  # a new CLIP's: cosines within [-1, 1] times it bound the loss
    assert 0 < figures["first_loss"]["mean"] <= math.log(16) + 2 * scale
    assert math.isfinite(figures["last_loss"]["mean"])
    assert 0 <= figures["recall_at_10"]["mean"] <= 1

    # Which samples come first is the loader's to draw; one batch seen again and again is learnt, whichever it is.
    args = benchmark.arguments([*given, "--rate", "2e-3"])
    size = benchmark.SIZES["tiny"]
    batch = next(iter(benchmark.loader(benchmark.shards(made.root), size, args, seed=0)))
    losses = benchmark.train(benchmark.build(size, seed=0), [batch] * 30, 30, 2e-3, "cpu")
    assert len(losses) == 30
    assert losses[-1] < losses[0] - 0.5


def test_what_was_trained_on_is_not_measured_on(benchmark: ModuleType, tmp_path: Path) -> None:
    def tar(name: str, samples: list[tuple[int, str]]) -> str:
        made = [
            Sample(f"{i}", picture(colour), text, {}) for i, (colour, text) in enumerate(samples)
        ]
        return str(write_tar(tmp_path / name, made))

    trained = tar("trained.tar", [(1, "one"), (2, "two")])
    held = tar(
        "held.tar",
        [
            (1, "its picture"),
            (3, "Two "),
            (4, "four"),
            (4, "its picture again"),
            (5, "four"),
            (6, "six"),
        ],
    )
    size = benchmark.SIZES["tiny"]
    found = benchmark.held_out([held], [trained], size)
    assert found.left_out == 4
    assert found.pictures.shape == (2, 3, size["image"], size["image"])
    with pytest.raises(SystemExit, match="stand in the runs too"):
        benchmark.held_out([trained], [trained], size)
