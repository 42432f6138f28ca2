"""Words in scripts that write no blanks between them: Chinese, Japanese, Thai, Lao, Khmer, Burmese.

A run of such characters is cut by the dictionaries of ICU, with its root locale. What stands beside a run, in another
script, is a word of its own; in captions with such a run, what has neither letter nor digit is no word. All other
captions stay as they are: their words are what blanks divide.
"""

import re
from collections.abc import Iterator

PACKAGE = "icu4py"
"""The distribution that has ICU and its dictionaries, on whose version the words depend."""

_RUN = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af]+"
)


def segmented(text: str) -> str:
    """A caption with single blanks between its words, where it has a run of such a script; else as it is."""
    if text.isascii() or not _RUN.search(text):
        return text
    apart = _RUN.sub(lambda run: f" {' '.join(_words(run.group()))} ", text)
    return " ".join(piece for piece in apart.split() if any(map(str.isalnum, piece)))


def _words(run: str) -> Iterator[str]:
    # Imported here, because most captions have no such script.
    from icu4py.breakers import WordBreaker

    for start, end in WordBreaker(run, "").segments():
        yield run[start:end]
