"""Tiny models of transformers with random weights, each a folder as a repository of the hub is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision

WORDS = ["<pad>", "<s>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz0123456789() ,"]

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TEXT = {**SMALL, "vocab_size": 64, "max_position_embeddings": 24, "pad_token_id": 0}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}

CLIP_PICTURES: dict[str, Any] = {
    "image_processor_type": "CLIPImageProcessor",
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "crop_size": {"height": 32, "width": 32},
    "size": {"shortest_edge": 32},
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}
SIGLIP_PICTURES = {
    **{key: value for key, value in CLIP_PICTURES.items() if "crop" not in key},
    "image_processor_type": "SiglipImageProcessor",
    "size": {"height": 32, "width": 32},
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


def write_clip(folder: Path) -> Path:
    ensure_torchvision()
    from transformers import CLIPConfig, CLIPModel

    ends = {"bos_token_id": 1, "eos_token_id": 2}
    config = CLIPConfig(projection_dim=16, text_config={**TEXT, **ends}, vision_config=VISION)
    return _write(folder, CLIPModel, config, CLIP_PICTURES, masks=True)


def write_siglip(folder: Path) -> Path:
    ensure_torchvision()
    from transformers import SiglipConfig, SiglipModel

    ends = {"bos_token_id": 1, "eos_token_id": 2, "projection_size": 32}
    config = SiglipConfig(text_config={**TEXT, **ends}, vision_config=VISION)
    return _write(folder, SiglipModel, config, SIGLIP_PICTURES, masks=False)


def _write(folder: Path, kind: Any, config: Any, pictures: dict[str, Any], masks: bool) -> Path:
    import torch

    torch.manual_seed(6)
    kind(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    _write_tokenizer(folder, masks)
    return folder


def _write_tokenizer(folder: Path, masks: bool) -> None:
    """A token for each character, between a beginning and an end."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    numbers = {word: number for number, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=24,
        model_input_names=["input_ids", "attention_mask"] if masks else ["input_ids"],
    ).save_pretrained(folder)
