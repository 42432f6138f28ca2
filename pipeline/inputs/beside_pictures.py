"""Texts that belong to pictures of a folder by their names, and those that lie where nobody looks for them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tamis.pipeline.inputs.suffixes import ANY_PICTURE, CAPTION, META
from tamis.pipeline.store import storage


def named_after(name: str, pictures: Collection[str]) -> str | None:
    """The picture that a name goes on from, as `1.jpg.txt` does from `1.jpg`; None where there is none such."""
    dots = (at for at in range(len(name) - 1, 0, -1) if name[at] == ".")
    return next((name[:at] for at in dots if name[:at] in pictures), None)


def apart(paths: Sequence[str]) -> Iterator[str]:
    """A note for each folder that has captions or facts and no picture, while their pictures lie in another."""
    homes: dict[str, str] = {}  # name of a picture without its ending -> its folder
    texts: dict[str, list[str]] = {}
    with_pictures: set[str] = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        stem, _, ending = name.rpartition(".")
        if ending.lower() in ANY_PICTURE:
            homes.setdefault(stem, folder)
            with_pictures.add(folder)
        elif ending.lower() in (CAPTION, META):
            texts.setdefault(folder, []).append(name)
    for folder, names in texts.items():
        split = (name.rpartition(".") for name in names if folder not in with_pictures)
        found = next(((homes[stem], ending) for stem, _, ending in split if stem in homes), None)
        if found is not None:
            here, home = storage.redact(folder), storage.redact(found[0])
            yield (
                f"{here}/ has {len(names):,} files named as the pictures of {home}/, and captions are read beside "
                f"their pictures: if that is what they are, put them there: cp -n '{here}'/*.{found[1]} '{home}'"
            )
