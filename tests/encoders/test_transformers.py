"""Models of transformers, with tiny ones whose random weights lie in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tamis.jobs.job_files.paths import with_absolute_paths
from tamis.pipeline import encoders
from tamis.schemas.errors import ModelError
from tests.support.encoded import images, seen
from tests.support.running import Sample, make_plan, picture, write_tar
from tests.support.transformers_models import TEXT, VISION, write_clip, write_siglip

TEXTS = ["a cat", "a very long caption " * 40, "", "(12, 13)"]


@pytest.mark.parametrize("write", [write_clip, write_siglip])
def test_it_is_the_librarys_own_model(write: Callable[[Path], Path], tmp_path: Path) -> None:
    """Against transformers' own processing of pictures and captions, and its own vectors."""
    folder = write(tmp_path / "tiny")
    ours = encoders.load(f"transformers:{folder}")
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    rng = np.random.default_rng(2)
    smooth = [Image.fromarray(rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)) for _ in range(5)]
    pictures = [picture.resize((40, 50 + 7 * n)) for n, picture in enumerate(smooth)]
    processed = AutoImageProcessor.from_pretrained(folder)(pictures, return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding="max_length", truncation=True, return_tensors="pt"
    )
    with torch.inference_mode():
        looks = model.get_image_features(**processed).pooler_output
        words = model.get_text_features(**tokens).pooler_output
    unit = torch.nn.functional.normalize
    found = images(ours, seen(f"transformers:{folder}", pictures), 8)
    # Pillow resizes here, torch there: levels differ by one. An odd margin is cut a pixel further on one side.
    assert ((found * unit(looks).numpy()).sum(axis=1) > 0.999).all()
    np.testing.assert_allclose(ours.encode_texts(TEXTS), unit(words).numpy(), atol=2e-5)


def test_weights_in_several_files_are_the_same_model(tmp_path: Path) -> None:
    whole, parts = write_clip(tmp_path / "whole"), tmp_path / "parts"
    shutil.copytree(whole, parts, ignore=shutil.ignore_patterns("*.safetensors"))
    from transformers import CLIPModel

    CLIPModel.from_pretrained(whole).save_pretrained(parts, max_shard_size="30KB")
    assert len([*parts.glob("*.safetensors")]) > 1
    one, many = (
        encoders.load(f"transformers:{path}").encode_texts(TEXTS) for path in (whole, parts)
    )
    np.testing.assert_array_equal(one, many)


def change(folder: Path, name: str, **values: Any) -> None:
    found = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(found | values))


def test_other_weights_tokens_or_pictures_have_another_fingerprint(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_clip(tmp_path / "tiny")
    spec = f"transformers:{folder}"
    found = [encoders.describe(spec).fingerprint]
    change(folder, "preprocessor_config.json", resample=2)
    found.append(encoders.describe(spec).fingerprint)
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace('"a": 4', '"a": 5', 1) + " ")
    found.append(encoders.describe(spec).fingerprint)
    weights = load_file(folder / "model.safetensors")
    weights["logit_scale"] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    found.append(encoders.describe(spec).fingerprint)
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"do_center_crop": False}, "pictures keep their shape, and are not cut"),
        ({"do_normalize": False}, "`do_normalize` is false"),
        ({"do_pad": True}, "`do_pad` is set"),
        ({"rescale_factor": 1}, "`rescale_factor` is 1, and not 1 / 255"),
        ({"image_mean": [0.5]}, "not enough values"),
        ({"size": None}, "its preprocessor_config.json is none that is known here (TypeError"),
    ],
)
def test_pictures_that_are_prepared_in_another_way_are_refused(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_clip(tmp_path / "tiny")
    change(folder, "preprocessor_config.json", **values)
    with pytest.raises(ModelError) as caught:
        encoders.describe(f"transformers:{folder}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def of_pictures(folder: Path) -> None:
    change(folder, "config.json", model_type="clip_vision_model", **VISION)


def of_texts(folder: Path) -> None:
    change(folder, "config.json", model_type="clip_text_model", **TEXT)


def of_nothing(folder: Path) -> None:
    change(folder, "config.json", model_type="unheard_of")


def without_tokens(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def index_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"logit_scale": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (of_pictures, "CLIPVisionModel is no model of pictures and captions: for pictures alone"),
        (of_texts, "CLIPTextModel is no model of pictures and captions"),
        (of_nothing, "transformers makes no model of its config.json"),
        (without_tokens, "has no file tokenizer.json or vocab.json or spiece.model"),
        (pickled, "has no file model.safetensors or model.safetensors.index.json"),
        (index_elsewhere, "names weights outside its folder"),
    ],
)
def test_what_is_no_such_model_is_refused_before_anything_runs(
    spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder = write_clip(tmp_path / "tiny")
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        encoders.describe(f"transformers:{folder}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    """What it lacks would be random."""
    from safetensors.torch import load_file, save_file

    folder = write_clip(tmp_path / "tiny")
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"its weights lack visual_projection.weight"):
        encoders.load(f"transformers:{folder}")


def test_a_folder_is_a_path_of_a_job_and_a_repository_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    tar = write_tar(tmp_path / "in" / "0.tar", [Sample("0", picture(1), "a", {})])
    job = make_plan(tmp_path / "run", tar, "  - embed: {encoder: 'transformers:tiny'}").job
    (embed,) = with_absolute_paths(job).embeds
    assert embed.encoder == f"transformers:{tmp_path}/tiny"
    of_hub = embed.model_copy(update={"encoder": "transformers:openai/clip-vit-base-patch32"})
    changed = with_absolute_paths(job.model_copy(update={"steps": (of_hub,)}))
    assert changed.embeds == (of_hub,)
