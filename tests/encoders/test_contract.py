"""What every encoder keeps to: a row's vector is that row's alone, and what is wrong is one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tamis.pipeline import encoders
from tamis.pipeline.encoders import ENCODERS
from tamis.pipeline.encoders.base import Encoder, Vectors
from tamis.pipeline.encoders.own import Own
from tamis.pipeline.encoders.preprocessing import Pixels
from tamis.pipeline.inputs.images import to_rgb
from tamis.schemas.errors import ModelError
from tests.support.encoded import images, seen

DIM = {"demo": 256, "open_clip": 24, "own": 12, "timm": 64, "transformers": 16}
"""By scheme: the width of the model that stands for it, whose spec is the fixture SCHEME_spec.

`own` is no scheme: a class of the user's own.
"""

WITHOUT_MODEL, WITHOUT_CAPTIONS = {"precomputed"}, {"timm"}

CAPTIONS = ["an apple (fruit, food)", "", "red flag", "a house " * 200, "¿qué?", "ß ü 你好 " * 90]
CAPTIONS += [*map(str, range(17)), f"an entity &#{'7' * 5000};", "flag of Norway"]

WRONG = {
    "clip:ViT-B-32": "no encoder `clip:ViT-B-32`: write open_clip:MODEL",
    "": "no encoder ``",
    "demo:large": "the encoder is called `demo` alone",
    "open_clip:ViT-B-32": "write open_clip:MODEL/TAG, open_clip:MODEL//PATH or",
    "open_clip:ViT-B-33/openai": "no model `ViT-B-33`: did you mean ViT-B-32",
    "open_clip:ViT-B-32/laion2B": "neither a tag of ViT-B-32 nor a checkpoint file; its tags: openai",
    "open_clip:ViT-B-32//nowhere/x.pt": "`/nowhere/x.pt` is neither",
    "open_clip:ViT-B-32/laion2b_s34b_b79k": "cannot fetch `laion2b_s34b_b79k` of ViT-B-32",
    "precomputed:B 32": "behind the colon stands a name of the input's `embeddings:`",
    "timm:vit_smol": "timm has no model `vit_smol`",
    "timm:test_vit@/nowhere/x.safetensors": "no checkpoint file `/nowhere/x.safetensors`",
    "timm:vit_small_patch14_dinov2": "cannot fetch timm's vit_small_patch14_dinov2",
    "timm:test_vit.unheard_of": "`test_vit.unheard_of`",
    "transformers:tiny": "write transformers:OWNER/NAME, such as",
    "transformers:../x": "write transformers:OWNER/NAME, such as",
    "transformers:no/where": "HF_HUB_OFFLINE is set, and the cache has no config.json of no/where",
}


def test_every_encoder_is_tried() -> None:
    assert DIM.keys() | WITHOUT_MODEL == ENCODERS.keys() | {"own"}
    assert {spec.partition(":")[0] for spec in WRONG} > ENCODERS.keys()


@pytest.fixture(scope="module", params=sorted(DIM))
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def spec(scheme: str, request: pytest.FixtureRequest) -> str | Own:
    found: str | Own = request.getfixturevalue(f"{scheme}_spec")
    return found


@pytest.fixture(scope="module")
def encoder(spec: str | Own, demo: Encoder) -> Encoder:
    return demo if spec == "demo" else encoders.load(spec)


@pytest.fixture(scope="module")
def pixels(spec: str | Own, example_pairs: dict[str, tuple[bytes, str]]) -> Pixels:
    """Eleven pictures: no multiple of any batch."""
    pictures = [picture for picture, _ in example_pairs.values()][:11]
    return seen(spec, map(to_rgb, pictures))


@pytest.fixture(scope="module")
def vectors(encoder: Encoder, pixels: Pixels) -> Vectors:
    return images(encoder, pixels, 32)


@pytest.fixture(scope="module")
def words(encoder: Encoder, spec: str | Own) -> Vectors | None:
    """Of the captions; None where the model has no text tower, which it says."""
    if encoders.describe(spec).has_text:
        return encoder.encode_texts(CAPTIONS)
    with pytest.raises(ModelError, match="no text tower") as caught:
        encoder.encode_texts(CAPTIONS)
    assert "\n" not in str(caught.value)
    return None


def test_vectors_are_of_unit_norm_and_float32(
    encoder: Encoder, scheme: str, vectors: Vectors, words: Vectors | None
) -> None:
    assert (encoder.dim, words is None) == (DIM[scheme], scheme in WITHOUT_CAPTIONS)
    assert vectors.shape == (11, encoder.dim)
    assert words is None or words.shape == (len(CAPTIONS), encoder.dim)
    for rows in (vectors, *([] if words is None else [words])):
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 4, 5, 11])
def test_neither_neighbours_nor_the_size_of_a_batch_change_a_bit(
    encoder: Encoder, pixels: Pixels, vectors: Vectors, rows: int
) -> None:
    mixed = np.random.default_rng(5).permutation(len(pixels))
    np.testing.assert_array_equal(images(encoder, pixels[mixed], rows), vectors[mixed])


def test_batches_that_are_not_full_come_back_as_they_were_sent(
    encoder: Encoder, pixels: Pixels, vectors: Vectors
) -> None:
    found = [*encoder.encode_images([pixels[:4], pixels[4:5], pixels[5:5], pixels[5:]], 8)]
    assert [batch.shape for batch in found] == [(n, encoder.dim) for n in (4, 1, 0, 6)]
    assert {batch.dtype for batch in found} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.concatenate(found), vectors)
    assert [*encoder.encode_images([], 8)] == []


def test_any_number_of_texts_in_any_order_gives_the_same_bits(
    encoder: Encoder, words: Vectors | None
) -> None:
    if words is None:
        return
    one_by_one = np.concatenate([encoder.encode_texts([text]) for text in CAPTIONS])
    np.testing.assert_array_equal(one_by_one, words)
    np.testing.assert_array_equal(encoder.encode_texts(CAPTIONS[::-1])[::-1], words)
    nothing = encoder.encode_texts([])
    assert nothing.shape == (0, encoder.dim)
    assert nothing.dtype == np.float32


@pytest.fixture
def two_threads() -> Iterator[None]:
    import torch

    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("two_threads")
def test_two_threads_change_no_bit(encoder: Encoder, pixels: Pixels, vectors: Vectors) -> None:
    np.testing.assert_array_equal(images(encoder, pixels, 32), vectors)


def test_half_precision_is_near_and_known_as_another(
    encoder: Encoder, spec: str | Own, pixels: Pixels, vectors: Vectors, words: Vectors | None
) -> None:
    half = encoders.load(spec, "cpu", "bf16")
    assert half.fingerprint == encoders.describe(spec, "bf16").fingerprint != encoder.fingerprint
    assert ((images(half, pixels) * vectors).sum(axis=1) > 0.99).all()
    assert words is None or ((half.encode_texts(CAPTIONS) * words).sum(axis=1) > 0.99).all()


def test_it_is_described_without_its_weights(
    encoder: Encoder, spec: str | Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    for place, name in (
        ("torch", "load"),
        ("safetensors.torch", "load_file"),
        ("safetensors", "safe_open"),
    ):
        monkeypatch.setattr(f"{place}.{name}", loaded)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", loaded)
    described = encoders.describe(spec)
    assert (described.dim, described.fingerprint) == (encoder.dim, encoder.fingerprint)


@pytest.mark.parametrize("scheme", sorted(WITHOUT_MODEL))
def test_where_the_input_has_the_vectors_there_is_no_model_to_load(scheme: str) -> None:
    described = encoders.describe(scheme)
    assert (described.dim, described.has_text, described.preprocessing) == (None, True, None)
    with pytest.raises(ModelError, match="no model to load") as caught:
        encoders.load(scheme)
    assert "\n" not in str(caught.value)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("wrong", WRONG)
def test_a_spec_that_cannot_be_had_is_one_line(wrong: str) -> None:
    with pytest.raises(ModelError) as caught:
        encoders.describe(wrong)
    assert WRONG[wrong] in str(caught.value)
    assert "\n" not in str(caught.value)
