"""Data-Juicer's side of ``peers_pictures.py``, run by its own interpreter: a recipe, by its own executor.

python _peer_data_juicer.py IN.jsonl OUT --words 2 --side 64 --aspect 3 --workers 2
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:
    # A wheel built against another torch than the one for processors: pipeline/encoders/torchvision_ops.py says why.
    declared = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from data_juicer.config import init_configs
from data_juicer.core import DefaultExecutor


def main() -> None:
    """The recipe's four operators, and the result as JSON lines."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("given", type=Path, help="JSON lines: text, images")
    options.add_argument("made", type=Path)
    options.add_argument("--words", type=int, required=True)
    options.add_argument("--side", type=int, required=True)
    options.add_argument("--aspect", type=float, required=True)
    options.add_argument("--workers", type=int, required=True)
    asked = options.parse_args()
    shape = {"min_width": asked.side, "min_height": asked.side}
    ratio = {"min_ratio": 1 / asked.aspect, "max_ratio": asked.aspect}
    recipe = {
        "project_name": "peer",
        "dataset_path": str(asked.given),
        "export_path": str(asked.made / "kept.jsonl"),
        "work_dir": str(asked.made),
        "np": asked.workers,
        "use_cache": False,
        "open_monitor": False,
        "open_tracer": False,
        "process": [
            {"words_num_filter": {"min_num": asked.words}},
            {"image_shape_filter": shape},
            {"image_aspect_ratio_filter": ratio},
            {"image_deduplicator": {"method": "phash"}},
        ],
    }
    asked.made.mkdir(parents=True)
    path = asked.made / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    DefaultExecutor(init_configs(["--config", str(path)])).run()


if __name__ == "__main__":
    main()
