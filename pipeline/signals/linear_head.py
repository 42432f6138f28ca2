"""Linear heads over a stored embedding, such as LAION's aesthetic predictor: score = <weight, x> + bias.

A head is one file, `.npz` or safetensors, with the arrays ``weight`` (d,) or (1, d), ``bias`` (one number), and, if the
score is a probability, ``sigmoid`` (one number, 1). Pickles are refused.
"""

import io
import math
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.schemas.errors import ModelError

_BLOCK = 1_024
_FORM = "a head has `weight` (d,) or (1, d), `bias` (one number) and perhaps `sigmoid` (0 or 1), all finite"


@dataclass(frozen=True)
class LinearHead:
    """A head's numbers: ``weight``, float64 (d,), ``bias``, and whether a logistic function follows."""

    weight: NDArray[np.float64]
    bias: float
    sigmoid: bool

    @property
    def dim(self) -> int:
        """Dimension d of the embeddings that it takes."""
        return len(self.weight)

    def score(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Scores of embeddings (n, d), float32 (n,). A row's score does not depend on the other rows.

        Raises:
            ValueError: the embeddings are not (n, ``dim``).
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dim:
            raise ValueError(f"embeddings are {embeddings.shape}; the head takes (n, {self.dim})")
        scores = np.empty(len(embeddings), dtype=np.float64)
        for start in range(0, len(embeddings), _BLOCK):
            block = embeddings[start : start + _BLOCK].astype(np.float64)
            # Not `block @ weight`: BLAS adds in an order that depends on the number of rows.
            scores[start : start + _BLOCK] = (block * self.weight).sum(axis=1) + self.bias
        if self.sigmoid:
            scores = np.array([_logistic(score) for score in scores.tolist()], dtype=np.float64)
        return scores.astype(np.float32)


def read_head(data: bytes, name: str) -> LinearHead:
    """Parse the bytes of a head file; ``name`` is for messages.

    Raises:
        ModelError: the bytes have neither format, or an array is missing, unknown, of another shape, or not finite.
    """
    arrays = _arrays(data, name)
    unknown = sorted(set(arrays) - {"weight", "bias", "sigmoid"})
    if unknown or "weight" not in arrays or "bias" not in arrays:
        raise ModelError(f"head {name} has the arrays {sorted(arrays)}: {_FORM}")
    weight, bias = arrays["weight"], arrays["bias"]
    if weight.ndim == 2 and weight.shape[0] == 1:
        weight = weight[0]
    sigmoid = arrays.get("sigmoid", np.zeros(()))
    if weight.ndim != 1 or not weight.size or bias.size != 1 or sigmoid.size != 1:
        shapes = {key: array.shape for key, array in sorted(arrays.items())}
        raise ModelError(f"head {name} has the shapes {shapes}: {_FORM}")
    finite = np.isfinite(weight).all() and np.isfinite(bias).all()
    if not finite or sigmoid.item() not in (0, 1):
        raise ModelError(f"head {name} has a number out of range: {_FORM}")
    return LinearHead(weight, float(bias.item()), bool(sigmoid.item()))


def _arrays(data: bytes, name: str) -> dict[str, NDArray[np.float64]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        if data[:2] == b"PK":
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        else:
            arrays = load(data)
        return {key: array.astype(np.float64) for key, array in arrays.items()}
    except (SafetensorError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"head {name} is no .npz or safetensors file of numbers: {error}"
        ) from error


def _logistic(score: float) -> float:
    return 1 / (1 + math.exp(-score)) if score > -700 else 0.0
