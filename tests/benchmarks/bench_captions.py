"""Captions a second a core from raw text to band keys: ours and other MinHash libraries.

Each runs in this one process, a block of texts at a time, on synthetic texts of the length of real
captions and of 500 words. The figure is texts by CPU seconds, of several rounds taken in turn, so
that a busy machine slows all alike; a slow library is given a part of the texts. Libraries that are
not installed are named as such.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from tamis.pipeline.algorithms.near_captions import folding, minhash
from tamis.pipeline.algorithms.near_captions.shingles import Ngram
from tests.benchmarks._table import Row, faster, race, show

PERMUTATIONS = minhash.CAPTION_BANDS * minhash.CAPTION_ROWS
Runner = Callable[[Sequence[str]], object]


def ours(texts: Sequence[str]) -> object:
    """Normalise, shingle, sketch and band with the default scheme."""
    return minhash.Scheme().keys(folding.normalise(texts))


def ours_by_words(texts: Sequence[str]) -> object:
    """The same with single words as shingles."""
    scheme = minhash.Scheme(ngram=Ngram("word", 1))
    return scheme.keys(folding.normalise(texts))


def datasketch_at_its_best(texts: Sequence[str]) -> object:
    """Sketch sets of words in bulk with a fast 32-bit hash: its quickest documented way."""
    import xxhash
    from datasketch import MinHash

    sets = [{word.encode() for word in one.split()} for one in folding.normalise(texts)]
    sketches = MinHash.generator(sets, num_perm=PERMUTATIONS, hashfunc=xxhash.xxh32_intdigest)
    return [one.hashvalues.tobytes() for one in sketches]


def datasketch_characters(texts: Sequence[str]) -> object:
    """Sketch the same character n-grams as ours."""
    import xxhash
    from datasketch import MinHash

    sets = [
        {piece.encode() for piece in minhash.shingle_strings(one, minhash.CAPTION_NGRAM)}
        for one in folding.normalise(texts)
    ]
    sketches = MinHash.generator(sets, num_perm=PERMUTATIONS, hashfunc=xxhash.xxh32_intdigest)
    return [one.hashvalues.tobytes() for one in sketches]


def datatrove_words(texts: Sequence[str]) -> object:
    """Take datatrove's own signatures: single words, as many bands and rows as ours."""
    dedup = import_module("datatrove.pipeline.dedup.minhash")
    config = dedup.MinhashConfig(
        n_grams=1, num_buckets=minhash.CAPTION_BANDS, hashes_per_bucket=minhash.CAPTION_ROWS
    )
    step = dedup.MinhashDedupSignature("unused", config=config)
    return [step.get_signature(step.get_shingles(one)) for one in texts]


def text_dedup_words(texts: Sequence[str]) -> object:
    """Take text-dedup's own embedding of a text into band keys: single words, 32 bits."""
    dedup = import_module("text_dedup.minhash")
    generator = np.random.RandomState(1)
    prime = np.uint32(2**32 - 5)
    rows = minhash.CAPTION_ROWS
    settings: dict[str, Any] = {
        "num_perm": PERMUTATIONS,
        "ngram_size": 1,
        "min_length": 0,
        "hashranges": [(band * rows, (band + 1) * rows) for band in range(minhash.CAPTION_BANDS)],
        "permutations": tuple(
            generator.randint(low, prime, size=PERMUTATIONS, dtype=np.uint32) for low in (1, 0)
        ),
        "hash_func": dedup.xxh3_32hash,
        "dtype": np.uint32,
        "max_hash": np.uint32(2**32 - 1),
        "modulo_prime": prime,
    }
    return [dedup.embed_func(one, row, **settings) for row, one in enumerate(texts)]


OURS = "tamis, char 3"
RUNNERS: dict[str, tuple[str, Runner, int]] = {
    OURS: ("numpy", ours, 1),
    "tamis, word 1": ("numpy", ours_by_words, 1),
    "datasketch, words": ("datasketch", datasketch_at_its_best, 4),
    "datasketch, char 3": ("datasketch", datasketch_characters, 8),
    "datatrove, words": ("datatrove", datatrove_words, 16),
    "text-dedup, words": ("text_dedup", text_dedup_words, 16),
}


GOALS = {"datasketch, words": ">= 6", "datatrove, words": ">= 20"}


def synthetic(count: int, words: int, seed: int) -> list[str]:
    """Make texts of about so many English-like words, of five letters on average."""
    generator = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    lengths = generator.integers(2, 9, 20_000)
    vocabulary = ["".join(generator.choice(letters, length)) for length in lengths]
    sizes = np.maximum(1, generator.normal(words, words / 4, count).astype(int))
    picks = (generator.zipf(1.3, size) % 20_000 for size in sizes)
    return [" ".join(vocabulary[word] for word in pick) for pick in picks]


def beside(title: str, texts: Sequence[str], goals: dict[str, str], rounds: int) -> Iterator[Row]:
    """The default scheme beside each library that is installed."""
    parts = {
        name: texts[: max(1, len(texts) // share)]
        for name, (module, _, share) in RUNNERS.items()
        if find_spec(module) is not None
    }
    works = {name: partial(RUNNERS[name][1], part) for name, part in parts.items()}
    for work in works.values():  # what is imported or compiled once
        work()
    taken = race(works, rounds)
    # As if each had been given all of them.
    seconds = {
        name: [one * len(texts) / len(parts[name]) for one in each] for name, each in taken.items()
    }
    for name in parts:
        goal = goals.get(name, "")
        yield faster(title, name, len(texts), "/CPU s", seconds[OURS], seconds[name], goal)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=20_000, help="texts of caption length")
    parser.add_argument("--documents", type=int, default=1_000, help="texts of 500 words")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for title, texts, goals in (
        ("captions", synthetic(arguments.captions, 11, 1), GOALS),
        ("500-word texts", synthetic(arguments.documents, 500, 2), {}),
    ):
        characters = float(np.mean([len(one) for one in texts]))
        print(
            f"{title}: {len(texts):,} of {characters:.0f} characters, {PERMUTATIONS} permutations"
        )
        rows = list(beside(title, texts, goals, arguments.rounds))
        show(f"{title}, from text to band keys, a core: the default scheme beside each", rows)
        print(
            "not installed:",
            ", ".join(name for name in RUNNERS if find_spec(RUNNERS[name][0]) is None) or "none",
        )


if __name__ == "__main__":
    main()
