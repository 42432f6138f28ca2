"""Heads over stored embeddings, such as LAION's aesthetic predictors and safety classifiers.

A head is one file, safetensors or `.npz`, and its arrays say which kind it is:

- layers: ``weight_0``, ``bias_0``, ``weight_1``, ... of any number, (out, in) and (out,), the last of one output; ReLU
  between two unless ``relu`` says 0, for all of them or for each; before the first ``(x - mean) / sqrt(variance)``
  where there are these two; behind the last a logistic function where ``sigmoid`` is 1. One layer may be called
  ``weight`` and ``bias``. Where ``joint`` is 1, x is (3 d,): the picture's vector, the caption's, and their product;
- a pair: ``image`` and ``text``, (w, d) each: the cosine of the picture's and the caption's vectors after these maps;
- prompts: ``prompts``, (m, d), and ``flagged``, (m,) of 0 and 1: the best cosine with a flagged prompt less the best
  with another. ``names``, (m,) of text, may say what they are: the nearest one's name is a signal too. A `.npy` file of
  two prompts, such as Q16's, flags the second.

Pickles are refused. All is computed in float64, and no row's score depends on the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.inputs.captions import is_text
from tamis.pipeline.store import numpy_arrays
from tamis.schemas.errors import ModelError

_BLOCK = 1_024

JOINED = 3
"""Vectors that ``joined`` puts one behind the other."""

SWITCHES = {"relu", "sigmoid", "joint"}
"""Arrays of a head of layers that are 0 or 1."""

NAMES = "names"
"""The one array of a head that may be of text."""

Matrix = NDArray[np.float64]
Arrays = Mapping[str, Matrix]
Vectors = NDArray[np.floating]


class Head(Protocol):
    """A function of stored vectors."""

    @property
    def takes_text(self) -> bool:
        """Whether it needs the caption's vectors beside the picture's."""

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""

    def score(self, image: Vectors, text: Vectors | None = None) -> NDArray[np.float32]:
        """Scores of n samples, float32 (n,), of their pictures' vectors (n, ``dim``), and their captions'.

        Raises:
            ValueError: the vectors are not (n, ``dim``).
        """


@dataclass(frozen=True)
class Layer:
    """One layer: ``weight`` (out, in), ``bias`` (out,), and whether ReLU follows."""

    weight: Matrix
    bias: Matrix
    relu: bool


@dataclass(frozen=True)
class LayeredHead:
    """Layers over the picture's vector, or over ``joined`` where ``takes_text``.

    ``mean`` and ``deviation``, an entry for each of these numbers or one for all, normalise them before.
    """

    layers: tuple[Layer, ...]
    mean: Matrix
    deviation: Matrix
    sigmoid: bool
    takes_text: bool = False

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self.layers[0].weight.shape[1]) // (JOINED if self.takes_text else 1)

    def score(self, image: Vectors, text: Vectors | None = None) -> NDArray[np.float32]:
        """See ``Head``."""
        if not self.takes_text:
            return _by_block(self._of_block, self.dim, image)
        both = _both(image, text)
        return _by_block(lambda *sides: self._of_block(joined(*sides)), self.dim, *both)

    def _of_block(self, block: Matrix) -> Matrix:
        values = (block - self.mean) / self.deviation
        for layer in self.layers:
            values = _mapped(values, layer.weight) + layer.bias
            if layer.relu:
                values = np.maximum(values, 0)
        scores = values[:, 0]
        return np.array([_logistic(one) for one in scores.tolist()]) if self.sigmoid else scores


@dataclass(frozen=True)
class PairHead:
    """Two maps, (w, d) each, and the cosine behind them."""

    image: Matrix
    text: Matrix

    @property
    def takes_text(self) -> bool:
        """It compares the two."""
        return True

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self.image.shape[1])

    def score(self, image: Vectors, text: Vectors | None = None) -> NDArray[np.float32]:
        """See ``Head``."""
        return _by_block(self._of_block, self.dim, *_both(image, text))

    def _of_block(self, image: Matrix, text: Matrix) -> Matrix:
        pictures, captions = _mapped(image, self.image), _mapped(text, self.text)
        lengths = np.sqrt((pictures * pictures).sum(axis=1) * (captions * captions).sum(axis=1))
        cosines: Matrix = (pictures * captions).sum(axis=1) / np.where(lengths > 0, lengths, 1)
        return cosines


@dataclass(frozen=True)
class PromptHead:
    """Vectors of texts, (m, d) of unit norm, with which a picture is compared; some are ``flagged``, (m,).

    ``names``: m texts, or none.
    """

    prompts: Matrix
    flagged: NDArray[np.bool_]
    names: tuple[str, ...] = ()

    @property
    def takes_text(self) -> bool:
        """The prompts stand in the place of captions."""
        return False

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self.prompts.shape[1])

    def score(self, image: Vectors, text: Vectors | None = None) -> NDArray[np.float32]:
        """See ``Head``."""
        del text
        return _by_block(self._of_block, self.dim, image)

    def nearest(self, image: Vectors) -> list[str]:
        """The name of the prompt nearest to each of n pictures, the first of equally near ones.

        Raises:
            ValueError: the vectors are not (n, ``dim``), or the prompts have no names.
        """
        if not self.names:
            raise ValueError("its prompts have no `names`")
        places = _by_block(lambda block: self._cosines(block).argmax(axis=1), self.dim, image)
        return [self.names[place] for place in places.astype(np.int64).tolist()]

    def _cosines(self, image: Matrix) -> Matrix:
        return _mapped(_unit(image), self.prompts)

    def _of_block(self, image: Matrix) -> Matrix:
        cosines = self._cosines(image)
        margin: Matrix = cosines[:, self.flagged].max(axis=1) - cosines[:, ~self.flagged].max(
            axis=1
        )
        return margin


def read_head(data: bytes, name: str) -> Head:
    """Parse the bytes of a head file; ``name`` is for messages.

    Raises:
        ModelError: the bytes have no such format, or an array is missing, unknown, of another shape, or not finite.
    """
    arrays, names = _arrays(data, name)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ModelError(f"head {name} has a number that is not finite: it was not stored well")
    kinds: dict[str, Callable[[Arrays], Head]] = {
        "prompts": partial(_prompts, names=names),
        "image": _pair,
    }
    make = next((make for mark, make in kinds.items() if mark in arrays), _layered)
    try:
        return make(arrays)
    except ValueError as error:
        raise ModelError(f"head {name}: {error}") from None


def joined(image: Matrix, text: Matrix) -> Matrix:
    """(n, 3 d) of vectors of pictures and captions, (n, d) each: both, and their product, which says if they agree."""
    return np.concatenate([image, text, image * text], axis=1)


def _both(image: Vectors, text: Vectors | None) -> tuple[Vectors, Vectors]:
    if text is None or len(text) != len(image):
        raise ValueError("this head takes the vectors of captions too")
    return image, text


def _layered(arrays: Arrays) -> Head:
    if "weight" in arrays:
        renamed = {"weight": "weight_0", "bias": "bias_0"}
        arrays = {renamed.get(name, name): array for name, array in arrays.items()}
    count = 0
    while f"weight_{count}" in arrays:
        count += 1
    layers = {f"{kind}_{number}" for number in range(count) for kind in ("weight", "bias")}
    _check_names(arrays, layers or {"weight_0", "bias_0"}, SWITCHES | {"mean", "variance"})
    relu = np.broadcast_to(_switch(arrays, "relu", 1, max(1, count - 1)), max(1, count - 1))
    made: list[Layer] = []
    for number in range(count):
        weight, bias = np.atleast_2d(arrays[f"weight_{number}"]), arrays[f"bias_{number}"].ravel()
        wanted = made[-1].weight.shape[0] if made else weight.shape[-1]
        if weight.ndim != 2 or not weight.size or weight.shape[1] != wanted:
            raise ValueError(f"weight_{number} is {weight.shape}: it has to be (out, {wanted})")
        if len(bias) != len(weight):
            raise ValueError(f"bias_{number} is {bias.shape}: it has to be ({len(weight)},)")
        made.append(Layer(weight, bias, number < count - 1 and bool(relu[number])))
    if len(made[-1].bias) != 1:
        raise ValueError(f"the last layer has {len(made[-1].bias)} outputs: it has to have one")
    mean, variance = _normalisation(arrays, made[0].weight.shape[1])
    sigmoid, joint = (bool(_switch(arrays, name, 0, 1)[0]) for name in ("sigmoid", "joint"))
    if joint and made[0].weight.shape[1] % JOINED:
        raise ValueError(
            f"weight_0 is {made[0].weight.shape}: with `joint` it is (out, {JOINED} d), for vectors of d numbers"
        )
    return LayeredHead(tuple(made), mean, np.sqrt(variance), sigmoid, joint)


def _normalisation(arrays: Arrays, width: int) -> tuple[Matrix, Matrix]:
    """Mean and variance of each of ``width`` numbers; one for all where the file has none."""
    if ("mean" in arrays) != ("variance" in arrays):
        raise ValueError("has one of `mean` and `variance`: it needs both, or none")
    mean, variance = arrays.get("mean", np.zeros(())), arrays.get("variance", np.ones(()))
    if "mean" in arrays and not mean.shape == variance.shape == (width,):
        raise ValueError(f"mean is {mean.shape}, variance {variance.shape}: both are ({width},)")
    if (variance <= 0).any():
        raise ValueError("has a variance that is not above 0")
    return mean, variance


def _pair(arrays: Arrays) -> Head:
    _check_names(arrays, {"image", "text"}, set())
    image, text = arrays["image"], arrays["text"]
    if image.ndim != 2 or image.shape != text.shape or not image.size:
        raise ValueError(f"image is {image.shape}, text {text.shape}: both have to be (w, d)")
    return PairHead(image, text)


def _prompts(arrays: Arrays, names: tuple[str, ...]) -> Head:
    _check_names(arrays, {"prompts", "flagged"}, {NAMES})
    prompts = arrays["prompts"]
    if prompts.ndim != 2 or not prompts.size or not (prompts * prompts).sum(axis=1).all():
        raise ValueError(f"prompts is {prompts.shape}: it has to be (m, d), and no row zero")
    flagged = _switch(arrays, "flagged", 0, len(prompts)).astype(bool)
    if flagged.shape != (len(prompts),) or flagged.all() or not flagged.any():
        raise ValueError(
            f"flagged is {flagged.shape}: it says 1 or 0 of each of the {len(prompts)} prompts, and both occur"
        )
    if NAMES in arrays and arrays[NAMES].shape != (len(prompts),):
        raise ValueError(
            f"{NAMES} is {arrays[NAMES].shape}: it has a text for each of the {len(prompts)} prompts"
        )
    return PromptHead(_unit(prompts), flagged, names)


def _check_names(arrays: Arrays, needed: set[str], allowed: set[str]) -> None:
    if not needed <= set(arrays) <= needed | allowed:
        also = f", and may have {', '.join(sorted(allowed))}" if allowed else ""
        raise ValueError(
            f"has the arrays {', '.join(sorted(arrays)) or 'of no name'}: it needs {', '.join(sorted(needed))}{also}"
        )


def _switch(arrays: Arrays, name: str, default: int, most: int) -> Matrix:
    """An array of 0 and 1, of one number or ``most``."""
    values = arrays.get(name, np.full(1, default)).ravel()
    if values.size not in {1, most} or not np.isin(values, (0, 1)).all():
        raise ValueError(f"{name} is {values.tolist()[:9]}: it is 0 or 1")
    return values


def _mapped(vectors: Matrix, weight: Matrix) -> Matrix:
    """``vectors @ weight.T``; BLAS would add in an order that depends on the number of rows."""
    return np.stack([(vectors * row).sum(axis=1) for row in weight], axis=1)


def _by_block(function: Callable[..., Matrix], dim: int, *sides: Vectors) -> NDArray[np.float32]:
    for vectors in sides:
        if vectors.ndim != 2 or vectors.shape[1] != dim:
            raise ValueError(f"embeddings are {vectors.shape}; the head takes (n, {dim})")
    scores = np.empty(len(sides[0]), dtype=np.float32)
    for start in range(0, len(scores), _BLOCK):
        block = [vectors[start : start + _BLOCK].astype(np.float64) for vectors in sides]
        scores[start : start + _BLOCK] = function(*block)
    return scores


def _unit(vectors: Matrix) -> Matrix:
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return vectors / np.where(lengths > 0, lengths, 1)


def _arrays(data: bytes, name: str) -> tuple[Arrays, tuple[str, ...]]:
    """The arrays of a file, and the texts of its ``names``, if it has any."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        if data.startswith(np.lib.format.MAGIC_PREFIX):
            prompts = numpy_arrays.load_array(data)
            if prompts.shape[:1] != (2,):
                raise ValueError(f"{prompts.shape} is not (2, d): two prompts, the second flagged")
            arrays: Mapping[str, NDArray[np.generic]] = {
                "prompts": prompts,
                "flagged": np.array([0, 1]),
            }
        elif numpy_arrays.is_archive(data):
            arrays = numpy_arrays.load_archive(data)
        else:
            arrays = load(data)
        names = _texts(arrays.get(NAMES, np.empty(0, "U")))
        return {key: _numbers(key, array) for key, array in arrays.items()}, names
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"head {name} is no .npz, .npy or safetensors file of numbers: {error}"
        ) from error


def _texts(array: NDArray[np.generic]) -> tuple[str, ...]:
    if array.dtype.kind != "U":
        raise ValueError(f"{NAMES} is of {array.dtype}: it has a text for each prompt")
    texts = tuple(map(str, array.ravel().tolist()))
    if not all(is_text(text) for text in texts):
        raise ValueError(f"{NAMES} has half a surrogate pair, which no text has")
    return texts


def _numbers(key: str, array: NDArray[np.generic]) -> Matrix:
    if key == NAMES:
        return np.zeros(array.shape)  # a text each
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{key} is of {array.dtype}")
    with np.errstate(over="ignore"):  # of a type wider than 64 bits: it is told as not finite
        return array.astype(np.float64)


def _logistic(score: float) -> float:
    return 1 / (1 + math.exp(-score)) if score > -700 else 0.0
