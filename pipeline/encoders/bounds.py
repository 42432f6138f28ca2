"""The similarity of picture and caption from which an encoder's pairs are taken to fit: `min: auto` of a rule.

A cosine means something else for every encoder: 0.28 is much for one and little for the next.
"""

from __future__ import annotations

LAION = 0.28
"""LAION-5B's bound for English captions, by CLIP ViT-B/32 of OpenAI (Schuhmann et al. 2022, section 3.1)."""

BOUNDS: dict[str, float] = {
    "open_clip:ViT-B-32/openai": LAION,
    "open_clip:ViT-B-32-quickgelu/openai": LAION,
    # The bound of the same architecture and loss, for weights trained on pairs that passed it.
    "open_clip:ViT-B-32/laion2b_s34b_b79k": LAION,
    # Of clip art, the only pictures that it knows: about 5% of the example data's pairs lie below.
    "demo": 0.1,
}
"""Encoder, as a job names it -> its bound."""


def bound_of(encoder: str) -> float | None:
    """The bound of an encoder; None where none is known."""
    return BOUNDS.get(encoder)
