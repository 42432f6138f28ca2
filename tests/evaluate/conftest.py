"""A finished run over pairs that can be learned, a third of them copies."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.running import make_plan, run_here
from tests.support.synthetic import captions, meanings, views, write_input

DISTINCT, COPIES = 600, 300

STEPS = """
  - signals: [topic]
  - embed: {encoder: precomputed}
  - near_duplicates: {jaccard: 0.8, agree: none}
  - density: {clusters: 8, keep: 0.5, neighbours: 3}
  - write
"""


@pytest.fixture(scope="session")
def learnable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory. Every third caption stands under two pairs, with slightly different embeddings."""
    folder = tmp_path_factory.mktemp("learnable")
    meaning = meanings(DISTINCT)
    twice = np.concatenate([meaning, meaning[:COPIES]])
    texts = [*captions(DISTINCT), *captions(DISTINCT)[:COPIES]]
    topic = [f"topic_{int(row[:3].argmax())}" for row in twice]
    entry = write_input(folder / "in", *views(twice), texts, topic=topic)
    run_here(
        make_plan(folder / "run", "", STEPS, input=[entry], part_samples=250, name="learnable")
    )
    return folder / "run"


@pytest.fixture
def run(learnable: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    shutil.copytree(learnable, tmp_path / "run")
    return tmp_path / "run"
