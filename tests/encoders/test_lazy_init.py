"""Weights that a checkpoint replaces are not drawn, and what is no draw is as it was."""

from __future__ import annotations

import torch
from torch import nn

from tamis.pipeline.encoders.lazy_init import SkipRandomInit


def test_nothing_is_drawn_inside_and_everything_after() -> None:
    before = torch.get_rng_state()
    with SkipRandomInit():
        linear, norm = nn.Linear(8, 8), nn.LayerNorm(8)
        nn.Sequential(nn.Conv2d(3, 8, 2), nn.MultiheadAttention(8, 2))
        nn.init.normal_(nn.Embedding(9, 8).weight, std=0.02)
        nn.init.trunc_normal_(linear.weight)
        nn.init.uniform_(tensor=linear.weight)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(norm.weight, torch.ones(8))
    nn.init.normal_(linear.weight)
    assert not torch.equal(torch.get_rng_state(), before)
