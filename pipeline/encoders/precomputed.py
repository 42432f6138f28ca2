"""Embeddings that come with the input: ``precomputed``.

They stay in their files: a ``.npy`` in clip-retrieval's layout, or a member of a ``.npz`` in DataComp's
(``b32_img b32_txt l14_img l14_txt``). The header has the dimension and the number of rows; only the rows
of a task are read. A compressed member has to be unpacked from its start.
"""

from __future__ import annotations

import re

from tamis.pipeline.encoders.base import Description, Precision
from tamis.pipeline.encoders.towers import Towers
from tamis.schemas.errors import ModelError

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def describe(rest: str, precision: Precision) -> Description:
    """Describe ``precomputed``: the input has the dimension, and there is no model; ``rest`` is its name of them.

    Raises:
        ModelError: that is none, or ``precision`` is not the default.
    """
    if rest and not NAME.fullmatch(rest):
        raise ModelError(
            f"`precomputed:{rest}`: behind the colon stands a name of the input's `embeddings:`, of small letters, "
            "digits, `-`, `_` and `.`"
        )
    if precision != "fp32":
        raise ModelError(f"precision: {precision} has no effect on `precomputed`: leave it out")
    return Description(None, True, "precomputed", None)


def load(rest: str, device: str, precision: Precision) -> Towers:
    """Raise ModelError: there is no model to load."""
    describe(rest, precision)
    raise ModelError(
        f"`precomputed` has no model to load on {device}: the input has the embeddings"
    )
