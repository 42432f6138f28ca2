"""The webdataset layout: members of a tar grouped into samples.

A member's key is its name up to the first dot of the last path part, its suffix what follows that dot.
Members of a key stand together. Where the layout leaves room:

- A key that comes again later in the file, whole or in part, is a sample of its own with the next
  occurrence number, and cannot be used (duplicate_key): which members belong together is not known.
- A suffix that comes again in one group (letter case aside) begins such a sample too.
- Of several pictures the first of IMAGE_SUFFIXES counts, or of those that the job names, whatever their order in the
  file.
- What file managers leave in folders is no sample: ``._x.jpg``, ``.DS_Store``, ``__MACOSX``.
- A damage with a name belongs to its key's sample; one without is a row of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from tamis.pipeline.inputs.input_files import Reading
from tamis.pipeline.inputs.suffixes import CAPTION, META, PICTURES, UID
from tamis.pipeline.inputs.tar.walker import Damage, Member

IMAGE_SUFFIXES, CAPTION_SUFFIX, META_SUFFIX = PICTURES, CAPTION, META

DEBRIS = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))

MAX_SUFFIX_BYTES = 64

MAX_MEMBERS = 256
"""Members of one key; more are a mistake in the names."""

LONG_KEY = 256
"""Characters of a key from which its hash is remembered instead."""

_NO_BYTES = memoryview(b"")


def split_name(name: str) -> tuple[str, str]:
    """(key, suffix) of a member's name; a name whose last part starts with a dot has no suffix."""
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    if not stem:
        return name, ""
    return folder + slash + stem, suffix


def is_debris(name: str) -> bool:
    """Whether a member is what a desktop's file manager leaves in folders, such as the Finder's ``._x.jpg``."""
    parts = name.split("/")
    return parts[-1].startswith("._") or parts[-1] in DEBRIS or "__MACOSX" in parts[:-1]


def is_writable(suffix: str) -> bool:
    """Whether a member of this suffix can stand in an output shard: it is not empty, fits a USTAR name, and
    is none of the names with two underscores that the webdataset library keeps to itself.
    """
    fits = 0 < len(suffix.encode()) <= MAX_SUFFIX_BYTES
    return fits and suffix.isprintable() and not suffix.startswith("__")


@dataclass(frozen=True)
class Suffixes:
    """The suffixes whose members are read.

    Attributes:
        pictures: of which the first that a sample has is its picture.
        texts: of captions and other text that the job names.
    """

    pictures: tuple[str, ...] = IMAGE_SUFFIXES
    texts: tuple[str, ...] = (CAPTION_SUFFIX, UID)

    @classmethod
    def of(cls, reading: Reading) -> Suffixes:
        """Those that the job names, in lower case, and the usual ones where it names none."""
        named = {name: tuple(map(str.lower, reading.names(name))) for name in TEXTS}
        texts = [*(named["text"] or (CAPTION_SUFFIX,)), *named["url"], *named["uid"], UID]
        pictures = tuple(map(str.lower, reading.names("image")))
        return cls(pictures or IMAGE_SUFFIXES, tuple(texts))

    @cached_property
    def read(self) -> frozenset[str]:
        """All of them, and the json's."""
        return frozenset((*self.pictures, *self.texts, META_SUFFIX))


USUAL = Suffixes()

TEXTS = ("text", "url", "uid")
"""What the job can name a member of text for."""


@dataclass(slots=True)
class Group:
    """The members of one key that stand together, in the order of the file."""

    key: str
    occurrence: int
    named: Suffixes = USUAL
    members: dict[str, Member] = field(default_factory=dict)
    damage: Damage | None = None
    suffixes: set[str] = field(default_factory=set)
    beyond: int = 0  # members that are not held, since there are too many

    def add(self, suffix: str, item: Member | Damage) -> None:
        """Add a member, or note its damage; ``suffix`` in lower case."""
        if len(self.suffixes) >= MAX_MEMBERS:
            self.beyond += 1
            return
        self.suffixes.add(suffix)
        if isinstance(item, Damage):
            self.damage = self.damage or item
        else:
            # The bytes of other members are not read.
            self.members[suffix] = (
                item if suffix in self.named.read else item._replace(data=_NO_BYTES)
            )

    @property
    def image(self) -> tuple[str, Member] | None:
        """The suffix and member of the picture, if there is one."""
        for suffix in self.named.pictures:
            if suffix in self.members:
                return suffix, self.members[suffix]
        return None


def group(items: Iterable[Member | Damage], named: Suffixes = USUAL) -> Iterator[Group | Damage]:
    """The samples of a tar in the order of their first members, and the damages without a name.

    Only the keys of the file are remembered, never its bytes.
    """
    seen: dict[str | bytes, int] = {}
    current: Group | None = None
    damages: list[Damage] = []
    for item in items:
        if item.name is None:
            damages.append(item)
            continue
        if isinstance(item, Member) and is_debris(item.name):
            continue
        key, suffix = split_name(item.name)
        suffix = suffix.lower()
        if current is None or current.key != key or suffix in current.suffixes:
            yield from ([] if current is None else [current])
            yield from damages
            damages = []
            name = (
                key
                if len(key) <= LONG_KEY
                else hashlib.blake2b(key.encode("utf-8", "surrogatepass")).digest()
            )
            seen[name] = seen.get(name, -1) + 1
            current = Group(key, seen[name], named)
        current.add(suffix, item)
    yield from ([] if current is None else [current])
    yield from damages
