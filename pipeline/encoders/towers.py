"""Run a torch model over batches: the part that open_clip, timm and the demo model share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

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
"""Pictures and texts that go through at once on a CPU, where a model does not say.

Large activations cost more in fresh memory pages than in arithmetic: EfficientNet-lite0 embeds about half as many
pictures again in fours as in thirty-twos. Texts are small: MiniLM takes a fifth less time in eights than in fours, and
hardly less in more, which short parts would have to fill up. The last bits depend on them: whoever changes them
changes the fingerprints too.
"""

_LOOKED_UP = 32
"""Pictures whose bytes become numbers at a time on a GPU: the places looked up fill four times their memory."""


class Towers:
    """An ``Encoder`` over an image tower and, where there is one, a text tower.

    On the CPU a batch is cut into pieces of one small shape and computed by one thread, so vectors
    depend on neither the batch size nor the machine's threads; more processes are how it goes
    faster. On a GPU a batch of pictures goes through whole. Texts go through as wide as the least
    of ``widths`` (tokens) that holds them, those of a width in pieces of one size on either.
    """

    def __init__(
        self,
        described: Description,
        device: str,
        precision: Precision,
        image_tower: ImageTower,
        text_tower: TextTower | None = None,
        tokenizer: Tokenizer | None = None,
        widths: tuple[int, ...] = (),
        at_once: tuple[int, int] = AT_ONCE,
    ) -> None:
        if described.dim is None or described.preprocessing is None:
            raise ValueError("a model has a dimension and a preprocessing")
        self.dim: int = described.dim
        self.fingerprint: str = described.fingerprint
        self._preprocessing: Preprocessing = described.preprocessing
        self._device, self._precision = device, precision
        self._image_tower, self._text_tower = image_tower, text_tower
        self._tokenizer, self._widths = tokenizer, widths
        self._images_at_once, self._texts_at_once = at_once

    def encode_images(self, batches: Iterable[Pixels], rows: int) -> Iterator[Vectors]:
        """Batches of preprocessed pictures, (B, height, width, 3), to (B, dim), in order; see ``Encoder``."""
        if self._device == "cpu":
            yield from map(self._on_processor, batches)
        else:
            yield from self._on_device(batches, rows)

    def _on_processor(self, batch: Pixels) -> Vectors:
        import torch

        vectors = np.zeros((len(batch), self.dim), dtype=np.float32)
        normal = self._preprocessing.normalise(batch)
        with torch.inference_mode(), _one_thread():
            for rows, count in _pieces(np.arange(len(batch)), self._images_at_once):
                pixels = torch.from_numpy(normal[rows]).to(torch_dtype(self._precision))
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                vectors[rows[:count]] = _unit(self._image_tower(pixels))[:count].numpy()
        return vectors

    def _on_device(self, batches: Iterable[Pixels], rows: int) -> Iterator[Vectors]:
        import torch

        # What a byte becomes, as ``Preprocessing.normalise`` has it, looked up where the model is.
        values = torch.from_numpy(self._preprocessing.values()).to(self._device).reshape(-1)
        channel = torch.arange(3, device=self._device, dtype=torch.int32) * 256
        dtype = torch_dtype(self._precision)
        counts: deque[int] = deque()  # of batches that are on their way

        def filled() -> Iterator[Pixels]:
            for batch in batches:
                for piece, count in _pieces(batch, rows):
                    counts.append(count)
                    yield piece

        @torch.inference_mode()
        def work(pixels: torch.Tensor) -> torch.Tensor:
            numbers = torch.empty(pixels.shape, dtype=dtype, device=self._device)
            some = zip(pixels.split(_LOOKED_UP), numbers.split(_LOOKED_UP), strict=True)
            for stored, looked_up in some:
                looked_up.copy_(values[stored + channel])
            return _unit(self._image_tower(numbers.permute(0, 3, 1, 2)))  # channels last as it is

        for vectors in streaming.through(self._device, filled(), work):
            yield vectors[: counts.popleft()]

    def encode_texts(self, texts: Sequence[str], rows: int = 32) -> Vectors:
        """Any number of texts to (B, dim), ``rows`` of one width at a time on a GPU.

        Raises:
            ModelError: the model has no text tower.
        """
        import torch

        if self._text_tower is None or self._tokenizer is None:
            raise ModelError("the encoder has no text tower: captions need open_clip or demo")
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        if not texts:
            return vectors
        tokens = self._tokenizer(list(texts))
        size = self._texts_at_once if self._device == "cpu" else rows
        widths, pieces, counts = [], [], []
        for width, members in self._by_width(tokens):
            for piece, count in _pieces(members, size):
                widths.append(width)
                pieces.append(piece)
                counts.append(count)
        tokens = streaming.sent(tokens, self._device)
        places = streaming.sent(torch.from_numpy(np.stack(pieces)), self._device)
        with torch.inference_mode(), _one_thread():
            made = [
                _unit(self._text_tower(tokens[place, :width]))
                for place, width in zip(places, widths, strict=True)
            ]
            found = torch.stack(made).cpu().numpy()  # a GPU is waited for here alone
        for piece, count, of_piece in zip(pieces, counts, found, strict=True):
            vectors[piece[:count]] = of_piece[:count]
        return vectors

    def _by_width(self, tokens: torch.Tensor) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(width, rows that need it), for right-padded tokens where the pad is 0."""
        held = np.asarray(tokens != 0)
        used = held.shape[1] - np.argmax(held[:, ::-1], axis=1)
        assert held.shape[1] <= self._widths[-1], "a tokenizer wider than its model"
        place = np.searchsorted(np.asarray(self._widths), used)
        for index, width in enumerate(self._widths):
            rows = np.flatnonzero(place == index)
            if len(rows):
                yield width, rows


@contextmanager
def _one_thread() -> Iterator[None]:
    """On a CPU the last bits of a small batch depend on how many there are."""
    import torch

    held = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(held)


def torch_dtype(precision: Precision) -> torch.dtype:
    """The type of a tower's numbers."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def ready(model: Any, device: str, precision: Precision) -> Any:
    """The torch module ``model`` set for inference, on ``device``, channels last."""
    import torch

    model.eval().to(device=device, dtype=torch_dtype(precision))
    return model.to(memory_format=torch.channels_last)


def _pieces(rows: NDArray[Number], size: int) -> Iterator[tuple[NDArray[Number], int]]:
    """``rows`` in pieces of exactly ``size``, and how many of each count: the last is filled up with its own last."""
    for start in range(0, len(rows), size):
        piece = rows[start : start + size]
        missing = size - len(piece)
        if missing:
            filled = np.concatenate([piece, np.repeat(piece[-1:], missing, axis=0)])
            yield filled, len(piece)
        else:
            yield piece, size


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(vectors.float(), dim=-1)
