"""Difficulty of a pair among others, from cosines of pictures and captions: s-CLIPLoss, CLIP's loss, EL2N unlabelled.

Each pair is compared with the same R reference pairs, where the papers take the others of its batch: the value of a
pair then depends neither on order nor on division. With T the temperature, c_ij the cosine of picture i and caption j:

    cliploss_i = c_ii - T/2 (log mean_j exp(c_ij / T) + log mean_j exp(c_ji / T))

(Wang et al., "CLIPLoss and norm-based data selection", NeurIPS 2024). The mean, where the paper has the sum, makes
values comparable for any R; the order is the same. CLIP's loss is -cliploss / T: 0 for a pair that no one could guess
better than by lot. EL2N (Paul, Ganguli and Dziugaite, NeurIPS 2021) is the length of
softmax(c_i / T) less the vector that has a 1 at i; here it is the mean of that over captions and over pictures. j goes
over the references and the pair itself, which counts once.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.choosing.target import lengths

Measure = Literal["cliploss", "el2n", "loss"]

Numbers = NDArray[np.float64]
Fine = NDArray[np.float16] | Numbers
"""Rows of about unit norm, halves or float64: multiples of 2^-24."""

_CELLS = 1 << 21
"""Cosines held at once, of each direction: 16 MB."""


class References:
    """Reference pairs: `image` and `text` are (R, d), of about unit norm."""

    def __init__(self, image: Fine, text: Fine) -> None:
        self._image, self._text = image.astype(np.float64), text.astype(np.float64)
        self._lengths = lengths(self._image), lengths(self._text)

    def __len__(self) -> int:
        return len(self._image)

    def difficulty(
        self,
        image: Fine,
        text: Fine,
        own: NDArray[np.int64],
        measure: Measure,
        temperature: float,
    ) -> NDArray[np.float32]:
        """The measure of each of n pairs, float32 (n,).

        Products of multiples of 2^-24 are multiples of 2^-48, and their sums below 2: float64 holds them exactly, in
        any order of addition. So the bits do not depend on how pairs are sliced into calls.

        Args:
            image: (n, d), of about unit norm.
            text: the same of the captions.
            own: (n,), the number of each pair among the references; -1 for none.
            measure: `cliploss`, high for pairs that fit; or `el2n` or `loss`, high for hard ones.
            temperature: T.
        """
        values = np.empty(len(image), np.float32)
        step = max(1, _CELLS // max(1, len(self)))
        for start in range(0, len(image), step):
            rows = slice(start, start + step)
            x, t = image[rows].astype(np.float64), text[rows].astype(np.float64)
            long_x, long_t = lengths(x), lengths(t)
            cosine = np.einsum("ij,ij->i", x, t) / (long_x * long_t)
            to_texts = (x @ self._text.T) / (long_x[:, None] * self._lengths[1])
            to_images = (t @ self._image.T) / (long_t[:, None] * self._lengths[0])
            inside = np.flatnonzero(own[rows] >= 0)
            count = np.full(len(x), len(self) + 1)
            count[inside] -= 1
            for cosines in (to_texts, to_images):
                cosines[inside, own[rows][inside]] = -np.inf
            one, other = (
                _side(cosine, cosines, count, measure, temperature)
                for cosines in (to_texts, to_images)
            )
            mean = (one + other) / 2
            if measure == "cliploss":
                mean = cosine - temperature * mean
            elif measure == "loss":
                mean -= cosine / temperature
            values[rows] = mean
        return values


def _side(
    cosine: Numbers,
    others: Numbers,
    count: NDArray[np.int64],
    measure: Measure,
    temperature: float,
) -> Numbers:
    """One direction of the measure, float64 (n,): for `cliploss` and `loss` the log of the mean.

    Args:
        cosine: (n,), of each pair itself.
        others: (n, R), to the references, -infinity to itself; is overwritten: nothing larger is held.
        count: (n,), how many pairs each is compared with.
        measure: as for `difficulty`.
        temperature: likewise.
    """
    highest: Numbers = np.maximum(cosine, others.max(axis=1))
    own = np.exp((cosine - highest) / temperature)
    np.subtract(others, highest[:, None], out=others)
    np.divide(others, temperature, out=others)
    np.exp(others, out=others)
    wrong = others.sum(axis=1)
    total = wrong + own
    if measure != "el2n":
        logarithm: Numbers = highest / temperature + np.log(total / count)
        return logarithm
    length: Numbers = np.sqrt(np.einsum("ij,ij->i", others, others) + wrong**2) / total
    return length
