"""Fit the two projections of the encoder ``demo`` on a part of the example data, and measure the rest.

    python -m tests.benchmarks.train_demo jobs/examples/clipart --write pipeline/encoders/demo.safetensors

Both towers stay frozen. On their features the projections are a canonical correlation analysis
(Hotelling, 1936) with a ridge (Vinod, 1976): a closed form, without a seed. What is held out shares
neither a picture nor a caption with what is fitted. Prints the held-out retrieval figures as JSON.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from tamis.pipeline.algorithms.grouping.components import connected
from tamis.pipeline.encoders.demo import DIM, PARAMETERS, PREPROCESSING, frozen_towers, tokenizer
from tamis.pipeline.inputs.images import to_rgb
from tamis.pipeline.store.storage import files_in, open_read, write_bytes

Features = NDArray[np.float64]

HELD_OUT = 0.2
"""Share of the groups of pairs that is never fitted."""

BATCH = 4
"""Pictures that go through the tower together; small batches are the fast ones on a CPU."""

RIDGE = 3.0
"""Added to each covariance, in units of its mean variance; chosen inside the fitted part."""


def read_pairs(folder: str) -> list[tuple[bytes, str]]:
    """(PNG, caption) of every pair in the webdataset tars of ``folder``, each different pair once."""
    pairs: dict[tuple[bytes, str], None] = {}
    for file in files_in(folder):
        if not file.relative.endswith(".tar"):
            continue
        members: dict[str, bytes] = {}
        with open_read(file.path) as stream, tarfile.open(fileobj=stream) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None:
                    members[member.name] = content.read()
        for name in sorted(members):
            if name.endswith(".png"):
                pairs[members[name], members[name[:-4] + ".txt"].decode()] = None
    return list(pairs)


def is_held_out(pairs: list[tuple[bytes, str]]) -> NDArray[np.bool_]:
    """For each pair, whether its group is held out.

    Pairs with the same picture or the same caption are one group, at any distance; the smallest hash
    of the group's pictures decides, so a copy never stands on the other side.
    """
    hashes = [hashlib.sha256(picture).hexdigest() for picture, _ in pairs]
    nodes = {name: i for i, name in enumerate(dict.fromkeys(hashes))}
    captions = {text: len(nodes) + i for i, text in enumerate(dict.fromkeys(t for _, t in pairs))}
    a = np.array([nodes[name] for name in hashes], dtype=np.int64)
    b = np.array([captions[text] for _, text in pairs], dtype=np.int64)
    group = connected(a, b, len(nodes) + len(captions))[a]
    first: dict[int, str] = {}
    for label, name in zip(group.tolist(), hashes, strict=True):
        first[label] = min(first.get(label, name), name)
    lot = {g: hashlib.sha256(f"held-out{name}".encode()).digest()[0] for g, name in first.items()}
    return np.array([lot[label] < HELD_OUT * 256 for label in group.tolist()])


def features(pairs: list[tuple[bytes, str]]) -> tuple[Features, Features]:
    """What the frozen towers make of the pairs, before any projection: (n, 1280) and (n, 384)."""
    import torch

    torch.set_num_threads(1)  # the arithmetic of the encoder itself
    see, understand = frozen_towers("cpu", "fp32")
    tokenize = tokenizer()

    def seen(pictures: list[bytes]) -> Any:
        batch = torch.from_numpy(np.stack([PREPROCESSING(to_rgb(p)) for p in pictures]))
        return see(batch.contiguous(memory_format=torch.channels_last)).numpy()

    def read(caption: str) -> Any:
        tokens = tokenize([caption])
        return understand(tokens[:, : int((tokens != 0).sum())])[0].numpy()

    pictures = list(dict.fromkeys(picture for picture, _ in pairs))
    with torch.inference_mode():
        rows = [seen(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
        captions = {caption: read(caption) for _, caption in pairs}
    by_picture = dict(zip(pictures, np.concatenate(rows), strict=True))
    return (
        np.array([by_picture[picture] for picture, _ in pairs], dtype=np.float64),
        np.array([captions[caption] for _, caption in pairs], dtype=np.float64),
    )


def fit(pictures: Features, captions: Features) -> dict[str, NDArray[np.float16]]:
    """Projections of (n, p) and (n, t) to (n, ``DIM``) that agree best on pairs.

    With C the covariances, U S V' the singular vectors of Cpp^-1/2 Cpt Ctt^-1/2: Cpp^-1/2 U S and
    Ctt^-1/2 V S. Pictures are centred by a bias; open_clip's text projection has none, and captions
    are left as they are. Keys are ``PARAMETERS``.
    """
    mean = pictures.mean(axis=0)
    centred = pictures - mean
    whiten = _inverse_root(centred.T @ centred / len(centred))
    whiten_text = _inverse_root(captions.T @ captions / len(captions))
    between = whiten @ (centred.T @ captions / len(centred)) @ whiten_text
    left, strength, right = np.linalg.svd(between, full_matrices=False)
    image = (whiten @ left[:, :DIM] * strength[:DIM]).T
    text = (whiten_text @ right[:DIM].T * strength[:DIM]).T
    # Cosines do not see the scale; this one keeps half precision away from its ends.
    image, text = (w / np.abs(w).max() for w in (image, text))
    fitted = (image, -image @ mean, text)
    return {
        name: np.ascontiguousarray(value, dtype=np.float16)
        for name, value in zip(PARAMETERS, fitted, strict=True)
    }


def _inverse_root(covariance: Features) -> Features:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors / np.sqrt(values + RIDGE * values.mean())) @ vectors.T)


def measure(
    projections: dict[str, NDArray[np.float16]], pictures: Features, captions: Features
) -> dict[str, Any]:
    """Recall and median rank of the right one among n, in both directions, beside what chance gives."""
    weights = {name: value.astype(np.float64) for name, value in projections.items()}
    image = pictures @ weights["visual.head.proj.weight"].T + weights["visual.head.proj.bias"]
    text = captions @ weights["text.proj.weight"].T
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    cosines = image @ text.T
    return {
        "candidates": len(cosines),
        "picture_to_caption": _recall(cosines),
        "caption_to_picture": _recall(cosines.T),
        "chance": {
            "recall_at_1": round(1 / len(cosines), 3),
            "recall_at_10": round(10 / len(cosines), 3),
            "median_rank": (len(cosines) + 1) / 2,
        },
    }


def _recall(cosines: Features) -> dict[str, float]:
    ranks = 1 + (cosines > np.diag(cosines)[:, None]).sum(axis=1)
    return {
        "recall_at_1": round(float((ranks <= 1).mean()), 3),
        "recall_at_10": round(float((ranks <= 10).mean()), 3),
        "median_rank": float(np.median(ranks)),
    }


def one_answer_each(pairs: list[tuple[bytes, str]], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of ``rows`` that repeat no earlier picture and no earlier caption."""
    seen: set[bytes | str] = set()
    kept = []
    for row in rows.tolist():
        if seen.isdisjoint(pairs[row]):
            kept.append(row)
            seen.update(pairs[row])
    return np.array(kept, dtype=np.int64)


def main(
    data: Annotated[str, typer.Argument(help="a folder of webdataset tars with png and txt")],
    write: Annotated[Path | None, typer.Option(help="where the projections go")] = None,
) -> None:
    """Fit on one part, measure on the other, print the figures as JSON."""
    from safetensors.numpy import save

    pairs = read_pairs(data)
    held = is_held_out(pairs)
    fitted = one_answer_each(pairs, np.flatnonzero(~held))
    rest = one_answer_each(pairs, np.flatnonzero(held))
    known, unknown = (features([pairs[row] for row in rows]) for rows in (fitted, rest))
    projections = fit(*known)
    if write is not None:
        write_bytes(str(write), save(projections))
    figures = {
        "different_pairs": len(pairs),
        "fitted_pairs": len(fitted),
        "held_out": measure(projections, *unknown),
        "fitted": measure(projections, *known),
    }
    typer.echo(json.dumps(figures, indent=2))


if __name__ == "__main__":
    typer.run(main)
