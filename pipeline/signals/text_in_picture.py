"""Text in pictures: RapidOCR with the models of its wheel (PP-OCRv4, Apache-2.0, 16 MB, on the CPU)."""

import math

import numpy as np
from numpy.typing import NDArray

from tamis.schemas.errors import ModelError

LEAST_CONFIDENCE = 0.8
"""Of a line's recognition. The detector alone also marks plain surfaces, arrows and bars."""

LEAST_CHARACTERS = 2
"""Letters and digits of a line: one alone is as often a circle or a stroke of a drawing."""


MOST_ASPECT = 4
"""Of what the models are given: they enlarge the shorter side to 736 pixels, whatever the longer one becomes."""


class TextFinder:
    """The models in ONNX Runtime sessions of one thread.

    Raises:
        ModelError: a package, or a library of the system, is not there.
    """

    def __init__(self) -> None:
        try:
            import cv2
            from rapidocr_onnxruntime import RapidOCR
        except ImportError as error:  # OpenCV's wheel takes libGL.so.1 from the system
            raise ModelError(
                f"text_area: {error}: pip install 'tamis[text]', and on Debian apt-get install libgl1 libglib2.0-0"
            ) from None

        cv2.setNumThreads(1)
        self._read = RapidOCR(
            text_score=LEAST_CONFIDENCE, intra_op_num_threads=1, inter_op_num_threads=1
        )

    def area(self, pixels: NDArray[np.uint8]) -> float:
        """Share of the picture inside the boxes of lines that are read, 0 to 1; RGB, uint8 (height, width, 3)."""
        # The models take blue first, as OpenCV has it.
        lines, _ = self._read(np.ascontiguousarray(_padded(pixels)[..., ::-1]))
        boxes = (
            box for box, text, _ in lines or () if sum(map(str.isalnum, text)) >= LEAST_CHARACTERS
        )
        return min(1.0, math.fsum(map(_area, boxes)) / (pixels.size // 3))


def _padded(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A long picture with its last pixels repeated beside it."""
    height, width, _ = pixels.shape
    least = -(-max(height, width) // MOST_ASPECT)
    return np.pad(
        pixels, ((0, max(0, least - height)), (0, max(0, least - width)), (0, 0)), mode="edge"
    )


def _area(box: list[list[float]]) -> float:
    """Of a polygon (corners, 2), by the shoelace formula."""
    x, y = np.asarray(box, np.float64).T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2
