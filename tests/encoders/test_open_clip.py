"""open_clip models, with a tiny one whose random weights lie in a file."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tamis.pipeline import encoders
from tamis.pipeline.encoders.base import Encoder
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision
from tamis.pipeline.encoders.towers import Towers
from tamis.schemas.errors import ModelError
from tests.encoders.conftest import TINY
from tests.support.encoded import images, seen


@pytest.fixture(scope="module")
def tiny(open_clip_spec: str) -> Encoder:
    return encoders.load(open_clip_spec)


def test_it_is_open_clips_own_model(tiny: Encoder, checkpoint: Path) -> None:
    """Against open_clip's own transform, tokenizer and normalised encoders."""
    import open_clip
    import torch

    model, _, transform = open_clip.create_model_and_transforms(
        "tamis-tiny", pretrained=str(checkpoint)
    )
    model.eval()
    rng = np.random.default_rng(2)
    pictures = [
        Image.fromarray(rng.integers(0, 256, (h, 80, 3), dtype=np.uint8)) for h in (40, 64, 200)
    ]
    texts = ["a cat", "a very long caption " * 40, ""]
    with torch.inference_mode():
        looks = model.encode_image(torch.stack([transform(p) for p in pictures]), normalize=True)
        words = model.encode_text(open_clip.get_tokenizer("tamis-tiny")(texts), normalize=True)
    ours = images(tiny, seen(f"open_clip:tamis-tiny/{checkpoint}", pictures), 8)
    np.testing.assert_allclose(ours, looks.numpy(), atol=2e-5)
    np.testing.assert_allclose(tiny.encode_texts(texts), words.numpy(), atol=2e-5)


def test_texts_go_through_no_wider_than_they_are(tiny: Encoder) -> None:
    """As many tokens as hold the longest; whatever the width, a caption's vector is the same but for rounding."""
    assert isinstance(tiny, Towers)
    texts = [" ".join(["cat"] * words) for words in range(90)]
    assert tiny._tokenizer is not None
    assert tiny._text_tower is not None
    tokens = tiny._tokenizer(texts)
    assert [width for width, _ in tiny._by_width(tokens)] == [16, 24, 32, 48, 77]
    by_width = {width: tiny._text_tower(tokens[:, :width]).detach() for width in (16, 24, 32, 48)}
    whole = tiny._text_tower(tokens).detach()
    for width, found in by_width.items():  # start and end of text are tokens too
        np.testing.assert_allclose(found[: width - 1], whole[: width - 1], atol=2e-5)
        assert not np.allclose(found[width - 1], whole[width - 1], atol=2e-5)


@pytest.mark.parametrize(
    ("given", "widths"),
    [
        ({}, (16, 24, 32, 48, 77)),
        ({"context_length": 32}, (16, 24, 32)),
        ({"pool_type": "eos", "eos_id": 49407}, (16, 24, 32, 48, 77)),
        ({"pool_type": "last"}, (77,)),
        ({"pool_type": "last", "no_causal_mask": True}, (77,)),
        ({"embed_cls": True}, (77,)),
    ],
)
@pytest.mark.parametrize("custom", [False, True])
def test_a_model_that_reads_the_padding_is_given_it(
    tmp_path: Path, given: dict[str, object], widths: tuple[int, ...], custom: bool
) -> None:
    import open_clip
    import torch

    if given.get("embed_cls") and not custom:
        pytest.skip("open_clip's plain CLIP has no class token")
    text = TINY["text_cfg"] | given  # type: ignore[operator]
    name = f"tamis-{custom}-{'-'.join(map(str, given.values()))}"
    (tmp_path / f"{name}.json").write_text(
        json.dumps({**TINY, "text_cfg": text, "custom_text": custom})
    )
    open_clip.add_model_config(tmp_path / f"{name}.json")
    torch.manual_seed(4)
    model = open_clip.create_model(name).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    ours = encoders.load(f"open_clip:{name}/{tmp_path / 'weights.pt'}")
    assert isinstance(ours, Towers)
    assert ours._widths == widths
    described = encoders.describe(f"open_clip:{name}/{tmp_path / 'weights.pt'}")
    assert described.fingerprint == ours.fingerprint
    texts = ["", "a cat", "a flag of many colours " * 3, "a very long caption " * 40]
    with torch.inference_mode():
        theirs = model.encode_text(open_clip.get_tokenizer(name)(texts), normalize=True)
    np.testing.assert_allclose(ours.encode_texts(texts), theirs.numpy(), atol=2e-5)


def test_other_weights_have_another_fingerprint(
    tiny: Encoder, checkpoint: Path, tmp_path: Path
) -> None:
    import torch

    state = torch.load(checkpoint, weights_only=True)
    state["logit_scale"] += 1
    torch.save(state, tmp_path / "tiny.pt")
    described = encoders.describe(f"open_clip:tamis-tiny/{tmp_path / 'tiny.pt'}")
    assert described.fingerprint != tiny.fingerprint


def test_weights_of_another_model_are_refused_in_one_line(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=r"is no checkpoint of ViT-B-32: AssertionError") as caught:
        encoders.load(f"open_clip:ViT-B-32/{checkpoint}")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_lacks_a_weight_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """What it lacks would be left as the memory was."""
    import torch

    weights = torch.load(checkpoint, weights_only=True)
    del weights["visual.ln_post.weight"]
    torch.save(weights, tmp_path / "less.pt")
    with pytest.raises(ModelError, match="is no checkpoint of tamis-tiny"):
        encoders.load(f"open_clip:tamis-tiny/{tmp_path / 'less.pt'}")


def test_a_checkpoint_cannot_run_code(checkpoint: Path, tmp_path: Path) -> None:
    import torch

    torch.save({"state_dict": Path.cwd()}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match="holds more than weights, which could run code") as caught:
        encoders.load(f"open_clip:tamis-tiny/{tmp_path / 'evil.pt'}")
    assert "\n" not in str(caught.value)


def test_a_tag_brings_its_own_preprocessing(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    """SigLIP's mean and squash, OpenAI's GELU: not open_clip's defaults."""
    from tamis.pipeline.encoders import open_clip as adapter

    monkeypatch.setattr(adapter, "_fetch", lambda *_: str(checkpoint))
    monkeypatch.setattr(adapter, "_tokenizer", lambda _: None)
    siglip = encoders.describe("open_clip:ViT-B-16-SigLIP/webli").preprocessing
    assert siglip is not None
    assert (siglip.mode, siglip.mean) == ("squash", (0.5, 0.5, 0.5))
    assert adapter._quick_gelu(adapter._find("ViT-B-32/openai"))
    assert not adapter._quick_gelu(adapter._find("ViT-B-32/laion2b_s34b_b79k"))


def test_a_hub_that_is_out_of_reach_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ensure_torchvision()

    def download(_: object) -> str:
        for _ in range(5):
            logging.getLogger("huggingface_hub.utils").warning("Retrying in 1s")
        raise OSError("no network")

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", download)
    with pytest.raises(
        ModelError, match=r"cannot fetch `openai` of RN50 .*no network.*local check"
    ):
        encoders.describe("open_clip:RN50/openai")
    assert caplog.records == []
    logging.getLogger("tests").warning("heard again")
    assert [record.message for record in caplog.records] == ["heard again"]


def test_transformers_take_more_at_once_than_convolutions() -> None:
    import open_clip

    from tamis.pipeline.encoders.open_clip import _at_once
    from tamis.pipeline.encoders.towers import AT_ONCE

    found = {
        name: _at_once(open_clip.get_model_config(name))
        for name in ("ViT-B-32", "ViT-L-14", "RN50", "convnext_base")
    }
    assert found["ViT-B-32"] == found["ViT-L-14"] == (8, 16)
    assert found["RN50"] == found["convnext_base"] == AT_ONCE
