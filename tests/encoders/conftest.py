"""Encoders that several tests share: each is loaded once."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tamis.pipeline import encoders
from tamis.pipeline.encoders.base import Encoder

EXAMPLES = Path(__file__).parents[2] / "jobs" / "examples" / "clipart"


@pytest.fixture(scope="session")
def demo() -> Encoder:
    """The demo model, as a worker holds it: one thread."""
    import torch

    torch.set_num_threads(1)
    return encoders.load("demo")


@pytest.fixture(scope="session")
def example_pairs() -> dict[str, tuple[bytes, str]]:
    """key -> (PNG, caption) of the example data's first tar."""
    pairs = {}
    with tarfile.open(fileobj=io.BytesIO((EXAMPLES / "00000.tar").read_bytes())) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    for name, data in members.items():
        if name.endswith(".png"):
            pairs[name[:-4]] = (data, members[name[:-4] + ".txt"].decode())
    return pairs
