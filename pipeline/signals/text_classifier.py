"""Classifiers of captions in files of fastText's: of language, toxicity, quality, or whatever they were trained for."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tamis.schemas.errors import ModelError
from tamis.schemas.nearest import nearest

PACKAGES = ("fasttext-predict",)
EXTRA = "signals"

_PREFIX = "__label__"

SHOWN = 8
"""Labels that a message names, at most: a model of languages has thousands."""


def type_of(label: str | None) -> pa.DataType:
    """Of the values: a probability with ``label``, else a label."""
    return pa.string() if label is None else pa.float32()


class TextClassifier:
    """A supervised fastText model, `.bin` or `.ftz`.

    A caption is given as it is, on one line: no letter is made small, as it is the model's training that says whether
    that has to be done. A caption of white space alone, or null, has no value, nor has one of which the model knows
    nothing.

    Raises:
        ModelError: the package is missing, or the file is no such model.
    """

    def __init__(self, path: str, name: str) -> None:
        """Load it from the local file ``path``; ``name`` is for messages."""
        try:
            import fasttext
        except ImportError as error:
            raise ModelError(
                f"classifier {name} needs the extra `{EXTRA}` ({PACKAGES[0]}): pip install 'tamis[{EXTRA}]'"
            ) from error
        try:
            self._model = fasttext.load_model(path)
            self.labels = sorted(self._all("a"))
        except (ValueError, RuntimeError, MemoryError) as error:
            why = " ".join(str(error).replace(path, "it").split())
            raise ModelError(f"classifier {name} is no model of fastText's: {why}") from None
        self._name = name

    def _all(self, line: str) -> dict[str, float]:
        """The probability of every label."""
        labels, probabilities = self._model.predict(line, k=-1)
        return {
            label.removeprefix(_PREFIX): min(1.0, float(probability))
            for label, probability in zip(labels, probabilities, strict=True)
        }

    def check(self, label: str | None) -> None:
        """Refuse a label that it does not know.

        Raises:
            ModelError: it is not among those that it gives.
        """
        if label is not None and self.labels and label not in self.labels:
            raise ModelError(
                f"classifier {self._name} has no label `{label}`{nearest(label, self.labels, SHOWN)}"
            )

    def values(self, captions: Sequence[str | None], label: str | None) -> pa.Array:
        """Of n captions the likeliest label, or the probability of ``label``, float32: an Arrow array (n)."""
        lines = [" ".join((caption or "").split()) for caption in captions]
        known = {line: self._value(line, label) if line else None for line in set(lines)}
        return pa.array([known[line] for line in lines], type_of(label))

    def _value(self, line: str, label: str | None) -> str | float | None:
        if label is not None:
            return self._all(line).get(label)
        labels, _ = self._model.predict(line, k=1)
        return labels[0].removeprefix(_PREFIX) if labels else None
