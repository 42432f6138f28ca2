"""An encoder over torch models, shared by open_clip, timm and the demo model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.near_captions.folding import without_huge_references
from tamis.pipeline.encoders import streaming
from tamis.pipeline.encoders.base import Description, Precision, Vectors
from tamis.pipeline.encoders.preprocessing import Pixels, Preprocessing
from tamis.schemas.errors import ModelError

if TYPE_CHECKING:
    import torch

ImageTower = Callable[["torch.Tensor"], "torch.Tensor"]
TextTower = Callable[["torch.Tensor"], "torch.Tensor"]
Tokenizer = Callable[[list[str]], "torch.Tensor"]
Number = TypeVar("Number", np.int64, np.uint8)

AT_ONCE = (4, 8)
"""Pictures and texts of one forward pass on a CPU, unless the model has its own numbers.

Large activations cost more in fresh memory pages than in arithmetic: EfficientNet-lite0 embeds about half as many
pictures again in fours as in thirty-twos. Texts are small: MiniLM takes a fifth less time in eights than in fours, and
hardly less in larger pieces, which short parts would have to pad. The last bits of vectors depend on these numbers: a
change of them has to change the fingerprints too.
"""

_LOOKUP = 32
"""Pictures whose bytes become numbers at a time on a GPU: the indices of the look-up take four times their memory."""


class Towers:
    """An ``Encoder`` over an image tower and, where there is one, a text tower.

    On the CPU a batch is cut into pieces of one small shape and computed by one thread, so vectors
    depend on neither the batch size nor the machine's threads; more processes make it faster. On a
    GPU a batch of pictures is computed whole. Texts are padded to the smallest of ``widths``
    (tokens) that holds them, and those of one width are computed in pieces of one size.
    """

    def __init__(
        self,
        description: Description,
        device: str,
        precision: Precision,
        image_tower: ImageTower,
        text_tower: TextTower | None = None,
        tokenizer: Tokenizer | None = None,
        widths: tuple[int, ...] = (),
        at_once: tuple[int, int] = AT_ONCE,
    ) -> None:
        if description.dim is None or description.preprocessing is None:
            raise ValueError("a model has a dimension and a preprocessing")
        self.dim: int = description.dim
        self.fingerprint: str = description.fingerprint
        self._preprocessing: Preprocessing = description.preprocessing
        self._device, self._precision = device, precision
        self._image_tower, self._text_tower = image_tower, text_tower
        self._tokenizer, self._widths = tokenizer, widths
        self._images_at_once, self._texts_at_once = at_once

    def encode_images(self, batches: Iterable[Pixels], rows: int) -> Iterator[Vectors]:
        """Vectors (B, dim) of batches of preprocessed pictures, uint8 (B, height, width, 3): see ``Encoder``."""
        if self._device == "cpu":
            yield from map(self._on_processor, batches)
        else:
            yield from self._on_device(batches, rows)

    def _on_processor(self, batch: Pixels) -> Vectors:
        import torch

        vectors = np.zeros((len(batch), self.dim), dtype=np.float32)
        normal = self._preprocessing.normalise(batch)
        with torch.inference_mode(), one_thread():
            for rows, count in in_pieces(np.arange(len(batch)), self._images_at_once):
                pixels = torch.from_numpy(normal[rows]).to(torch_dtype(self._precision))
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                vectors[rows[:count]] = _unit(self._image_tower(pixels))[:count].numpy()
        return vectors

    def _on_device(self, batches: Iterable[Pixels], rows: int) -> Iterator[Vectors]:
        import torch

        # The table of ``Preprocessing.normalise``, looked up on the model's device.
        values = torch.from_numpy(self._preprocessing.values()).to(self._device).reshape(-1)
        channel = torch.arange(3, device=self._device, dtype=torch.int32) * 256
        dtype = torch_dtype(self._precision)
        counts: deque[int] = deque()  # rows of the batches on their way

        def padded() -> Iterator[Pixels]:
            for batch in batches:
                for piece, count in in_pieces(batch, rows):
                    counts.append(count)
                    yield piece

        @torch.inference_mode()
        def work(pixels: torch.Tensor) -> torch.Tensor:
            numbers = torch.empty(pixels.shape, dtype=dtype, device=self._device)
            for chunk, target in zip(pixels.split(_LOOKUP), numbers.split(_LOOKUP), strict=True):
                target.copy_(values[chunk + channel])
            return _unit(self._image_tower(numbers.permute(0, 3, 1, 2)))  # channels last as it is

        for vectors in streaming.stream(self._device, padded(), work):
            yield vectors[: counts.popleft()]

    def encode_texts(self, texts: Sequence[str], rows: int = 32) -> Vectors:
        """Vectors (n, dim) of n texts, on a GPU in batches of ``rows`` of one width.

        Raises:
            ModelError: the model has no text tower.
        """
        import torch

        if self._text_tower is None or self._tokenizer is None:
            raise ModelError("the encoder has no text tower: use open_clip or demo for captions")
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        if not texts:
            return vectors
        # Tokenizers of CLIP read HTML's entities.
        tokens = self._tokenizer([without_huge_references(text) for text in texts])
        size = self._texts_at_once if self._device == "cpu" else rows
        widths, pieces, counts = [], [], []
        for width, members in self._by_width(tokens):
            for piece, count in in_pieces(members, size):
                widths.append(width)
                pieces.append(piece)
                counts.append(count)
        tokens = streaming.send(tokens, self._device)
        indices = streaming.send(torch.from_numpy(np.stack(pieces)), self._device)
        with torch.inference_mode(), one_thread():
            outputs = [
                _unit(self._text_tower(tokens[index, :width]))
                for index, width in zip(indices, widths, strict=True)
            ]
            stacked = torch.stack(outputs).cpu().numpy()  # the only wait for a GPU
        for piece, count, output in zip(pieces, counts, stacked, strict=True):
            vectors[piece[:count]] = output[:count]
        return vectors

    def _by_width(self, tokens: torch.Tensor) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each width in use and the rows that need it, of tokens (n, context) with padding of 0 on the right."""
        is_token = np.asarray(tokens != 0)
        lengths = is_token.shape[1] - np.argmax(is_token[:, ::-1], axis=1)
        assert is_token.shape[1] <= self._widths[-1], "a tokenizer wider than its model"
        indices = np.searchsorted(np.asarray(self._widths), lengths)
        for index, width in enumerate(self._widths):
            rows = np.flatnonzero(indices == index)
            if len(rows):
                yield width, rows


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread inside the block: the last bits of a small batch depend on their number."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def torch_dtype(precision: Precision) -> torch.dtype:
    """The dtype of a tower's numbers."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def to_inference(model: Any, device: str, precision: Precision) -> Any:
    """Set the torch module ``model`` for inference and move it to ``device``, channels last; return it."""
    import torch

    model.eval().to(device=device, dtype=torch_dtype(precision))
    return model.to(memory_format=torch.channels_last)


def in_pieces(rows: NDArray[Number], size: int) -> Iterator[tuple[NDArray[Number], int]]:
    """Pieces of exactly ``size`` rows, and their numbers of real rows: the last piece is padded with its last row."""
    for start in range(0, len(rows), size):
        piece = rows[start : start + size]
        missing = size - len(piece)
        if missing:
            yield np.concatenate([piece, np.repeat(piece[-1:], missing, axis=0)]), len(piece)
        else:
            yield piece, size


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(vectors.float(), dim=-1)
