"""clip-retrieval's side of ``peers_embed.py``, run by its own interpreter: its inference over webdataset tars.

python _peer_clip_retrieval.py 'IN/{00000..00003}.tar' OUT --model open_clip:ViT-B-32//PATH --batch 32 --workers 2
"""

from __future__ import annotations

import argparse

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:
    # A wheel built against another torch than the one for processors: pipeline/encoders/torchvision_ops.py says why.
    declared = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from clip_retrieval.clip_inference.main import main as inference


def main() -> None:
    """Its own pipeline, start to end: reader, model, writer."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("given", help="tars, with a brace range")
    options.add_argument("made")
    options.add_argument("--model", required=True)
    options.add_argument("--batch", type=int, required=True)
    options.add_argument("--workers", type=int, required=True, help="processes that decode")
    asked = options.parse_args()
    inference(
        input_dataset=asked.given,
        output_folder=asked.made,
        input_format="webdataset",
        clip_model=asked.model,
        batch_size=asked.batch,
        num_prepro_workers=asked.workers,
        wds_image_key="png",
    )


if __name__ == "__main__":
    main()
