"""What lies in a directory and is not read, in notes for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from tamis.pipeline.inputs.beside_pictures import named_after
from tamis.pipeline.inputs.suffixes import ANY_PICTURE
from tamis.pipeline.inputs.unread import advice
from tamis.pipeline.store import storage

NAMED = 5
"""Files, or endings, that a message names."""

ASKED = 10
"""Files of an ending that are opened to see what they are."""

MARK = re.compile(r"/_[A-Za-z_]+$")
"""The path of a mark of Spark's, such as `_SUCCESS`."""

JSON, TAR, TEXT = ".json", ".tar", ".txt"


def ending_of(path: str) -> str:
    """The ending of a file's name with its dot, in lower case: of `x.tar.gz` both; nothing for a name without one."""
    name = path.rpartition("/")[2].lower()
    dot = name.rfind(".tar.") if ".tar." in name else name.rfind(".")
    return name[dot:] if dot > 0 else ""


def is_picture(path: str) -> bool:
    """Whether a file is a picture by its name."""
    return ending_of(path)[1:] in ANY_PICTURE


def alone(paths: Sequence[str], ending: str) -> Iterator[str]:
    """The files with an ending that lie beside no picture of their name."""
    having = [path for path in paths if path[-len(ending) :].lower() == ending]
    if not having:
        return
    pictures = {path for path in paths if is_picture(path)}
    stems = {path[: len(path) - len(ending_of(path)) + 1] for path in pictures}
    for path in having:
        if ending_of(path) != ending:
            continue
        if path[: 1 - len(ending)] not in stems and named_after(path, pictures) is None:
            yield path


@dataclass(frozen=True)
class PassedOver:
    """The files of a directory that are not read.

    Attributes:
        paths: of all files of the directory.
        read: of those that are.
        whys: path -> why it is not, of those of which that is known.
        inputs: endings of files that a job could read, as it could pictures where there are any endings.
        unasked: endings of files that are not opened for advice.
        of_samples: endings of files that belong to pictures: of one without a picture there may be advice, for it may
            be a list of pictures.
    """

    paths: Sequence[str]
    read: Collection[str]
    whys: Mapping[str, str] = field(default_factory=dict)
    inputs: Collection[str] = ()
    unasked: Collection[str] = ()
    of_samples: Collection[str] = ()

    def notes(self) -> Iterator[str]:
        """What may be input, by its endings; the first files of which something is known; the number of the rest."""
        read = {*self.read}
        left = [path for path in self.paths if path not in read]
        may_be = [path for path in left if self._may_be_input(path)]
        for counted in _counted(may_be):
            yield f"{counted}: name them, or their folder, if they are the input"
        rest = [path for path in left if not self._may_be_input(path)]
        told = dict(islice(self.whys.items(), NAMED))
        told |= dict(islice(self._advised([path for path in rest if path not in told]), NAMED))
        for path, mend in told.items():
            yield f"{storage.redact(path)} lies there too and is not read: {mend}"
        others = (path for path in rest if path not in told and not MARK.search(path))
        yield from _counted([path for path in others if ending_of(path) not in self.of_samples])

    def _may_be_input(self, path: str) -> bool:
        return bool(self.inputs) and (ending_of(path) in self.inputs or is_picture(path))

    def _advised(self, rest: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The first file of each ending for which there is advice, and the advice."""
        asked: Counter[str] = Counter()
        lone: dict[str, set[str]] = {}
        for path in rest:
            ending = ending_of(path)
            if ending in self.unasked or asked[ending] >= ASKED:
                continue
            if ending in (JSON, TEXT) and ending not in lone:
                lone[ending] = set(alone(self.paths, ending))
            if path not in lone.get(ending, (path,)):
                continue
            asked[ending] += 1
            mend = advice(path)
            if mend is not None:
                asked[ending] = ASKED
                yield path, mend


def _counted(paths: Sequence[str]) -> Iterator[str]:
    """The number of files by their endings, in one line; none for no files."""
    met = Counter(map(ending_of, paths)).most_common()
    if met:
        named = ", ".join(f"{count:,} {e or 'without ending'}" for e, count in met[:NAMED])
        rest = sum(count for _, count in met[NAMED:])
        others = f", and {rest:,} of other endings" if rest else ""
        yield f"{named}{others} lie there too and are not read"
