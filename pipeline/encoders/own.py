"""Encoders of the user's own: a class whose code stands in a file or package that the job names.

The class says by its attributes what pictures it takes and how wide its vectors are; an object of it makes vectors of
pictures, and perhaps of captions. What it says stands in the job, so that the code is imported for vectors alone.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tamis.pipeline.encoders.base import Description, Precision, Vectors, fingerprint
from tamis.pipeline.encoders.preprocessing import Pixels, Preprocessing, Size
from tamis.pipeline.encoders.towers import in_pieces, one_thread
from tamis.pipeline.plugins import sources
from tamis.schemas.errors import ModelError, PlugInError

Resize = Literal["shortest", "longest", "squash"]

GIVEN = ("weights", "device", "precision")
"""What the class may take as parameters."""

AT_ONCE = 8
"""Pictures or captions of one call on a CPU: a change changes the last bits of vectors."""

_ALIKE = 0.02
"""Numbers of one picture's unit vector beside different neighbours: rounding stays far below, even in bf16."""


@dataclass(frozen=True)
class Facts:
    """What a class says of itself."""

    dim: int
    size: Size
    resize: Resize
    has_text: bool
    takes: tuple[str, ...]


@dataclass(frozen=True)
class Own:
    """An encoder of the user's own, as a job knows it."""

    name: str
    source: str
    """Its file or package, for people."""
    code: str
    """What its code is known by in fingerprints."""
    facts: Facts
    weights: str | None = None
    factory: Callable[..., Any] | None = field(default=None, compare=False)
    """The class, where vectors are made."""

    @property
    def shown(self) -> str:
        """The class and its file, for messages."""
        return f"{self.name} of {self.source}"


class FailedRowError(PlugInError):
    """The class fails on a picture or caption; the caller knows whose it is."""

    def __init__(self, where: str, row: int, why: str) -> None:
        super().__init__(f"{where}: fails on row {row}: {why}")
        self.row = row
        self._where, self._why = where, why

    def on(self, sample: str) -> PlugInError:
        """The error with the name of the sample."""
        return PlugInError(f"{self._where}: fails on {sample}: {self._why}")


def facts_of(found: Callable[..., Any], where: str) -> Facts:
    """What a class says of itself; ``where`` is for messages.

    Raises:
        PlugInError: it says too little, or what cannot be.
    """
    if not inspect.isclass(found):
        raise PlugInError(
            f"{where}: is no class: an encoder is a class with `dim`, `size` and `pictures`"
        )
    dim = getattr(found, "dim", None)
    if not isinstance(dim, int) or isinstance(dim, bool) or dim < 1:
        raise PlugInError(f"{where}: `dim` is {dim!r}: say how many numbers a vector has: dim = 64")
    if not callable(getattr(found, "pictures", None)):
        raise PlugInError(
            f"{where}: has no method `pictures(self, pixels)`, which gives the vectors of pictures"
        )
    takes = _parameters(found, where)
    has_text = callable(getattr(found, "captions", None))
    return Facts(dim, _size(found, where), _resize(found, where), has_text, takes)


def _resize(found: Any, where: str) -> Resize:
    resize: Resize = getattr(found, "resize", "shortest")
    if resize not in get_args(Resize):
        raise PlugInError(
            f"{where}: `resize` is {resize!r}: set one of {', '.join(get_args(Resize))}"
        )
    return resize


def _size(found: Any, where: str) -> Size:
    size = getattr(found, "size", None)
    pair = (size, size) if isinstance(size, int) else size
    if (
        not isinstance(pair, tuple | list)
        or [type(side) for side in pair] != [int, int]
        or min(pair) < 1
    ):
        raise PlugInError(
            f"{where}: `size` is {size!r}: say to how many pixels pictures are resized: size = 224, or (height, width)"
        )
    return pair[0], pair[1]


def _parameters(found: Any, where: str) -> tuple[str, ...]:
    takes = tuple(inspect.signature(found).parameters)
    unknown = [name for name in takes if name not in GIVEN]
    if unknown:
        raise PlugInError(
            f"{where}: `__init__` takes `{unknown[0]}`: it may take {', '.join(GIVEN)}"
        )
    return takes


def describe(own: Own, precision: Precision) -> Description:
    """Describe the encoder by what stands in the job; nothing of it is imported.

    Raises:
        ModelError: its weights, or a precision, do not fit what it takes, or the weights cannot be read.
    """
    facts = own.facts
    if (own.weights is not None) != ("weights" in facts.takes):
        mend = "leave `weights` out" if own.weights is not None else "name the file: weights: PATH"
        verb = "takes no" if own.weights is not None else "takes"
        raise ModelError(f"{own.shown}: {verb} `weights`: {mend}")
    if precision != "fp32" and "precision" not in facts.takes:
        raise ModelError(f"{own.shown}: takes no `precision`: set fp32, not {precision}")
    preprocessing = Preprocessing(
        facts.size, facts.size, facts.resize, "bicubic", mean=(0.0,) * 3, std=(1.0,) * 3
    )
    identity = fingerprint(
        "own",
        [own.weights] if own.weights else [],
        preprocessing,
        name=own.name,
        code=own.code,
        at_once=AT_ONCE,
        precision=precision,
    )
    return Description(facts.dim, facts.has_text, identity, preprocessing)


def load(own: Own, device: str, precision: Precision) -> OwnEncoder:
    """The encoder, its object made and tried on two pictures and two captions.

    Raises:
        ModelError: as ``describe``, or there is a GPU to use, and the class takes no device.
        PlugInError: it fails, or gives what is no vector of each.
    """
    description = describe(own, precision)
    if device != "cpu" and "device" not in own.facts.takes:
        raise ModelError(f"{own.shown}: takes no `device`: set device: cpu")
    assert own.factory is not None, "where vectors are made the class has been imported"
    given: Mapping[str, Any] = {"weights": own.weights, "device": device, "precision": precision}
    try:
        model = own.factory(**{name: given[name] for name in own.facts.takes})
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever somebody else's class raises
        where = f"{own.name} of {sources.place(error, own.source)}"
        raise PlugInError(f"{where}: cannot be made: {sources.said(error)}") from None
    encoder = OwnEncoder(own, description, model, device)
    encoder.check()
    return encoder


class OwnEncoder:
    """An ``Encoder`` over an object of the user's class, which is called with pieces of one size."""

    def __init__(self, own: Own, description: Description, model: Any, device: str) -> None:
        from threadpoolctl import ThreadpoolController

        self.dim, self.fingerprint = own.facts.dim, description.fingerprint
        self._own, self._model, self._device = own, model, device
        self._pools = ThreadpoolController()

    def encode_images(self, batches: Iterable[Pixels], rows: int) -> Iterator[Vectors]:
        """Vectors (B, dim) of batches of pictures, uint8 (B, height, width, 3): see ``Encoder``."""
        first = 0
        for batch in batches:
            yield self._encoded(batch, rows, "pictures", first)
            first += len(batch)

    def encode_texts(self, texts: Sequence[str], rows: int = 32) -> Vectors:
        """Vectors (n, dim) of n texts.

        Raises:
            ModelError: the class has no method for them.
            FailedRowError: it fails on one.
        """
        if not self._own.facts.has_text:
            raise ModelError(
                f"{self._own.shown}: has no text tower: give it a method `captions(self, texts)`"
            )
        return self._encoded(np.array(texts, dtype=object), rows, "captions", 0)

    def check(self) -> None:
        """Check that a row's vector is its own.

        Raises:
            PlugInError: it depends on its neighbours, or is none.
        """
        height, width = self._own.facts.size
        made = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        self._check("pictures", made)
        if self._own.facts.has_text:
            self._check("captions", np.array(["a", "two words"], dtype=object))

    def _check(self, method: str, two: npt.NDArray[Any]) -> None:
        once = self._encoded(two, AT_ONCE, method, 0)
        alone = np.concatenate([self._encoded(one, AT_ONCE, method, 0) for one in np.split(two, 2)])
        if not np.allclose(once, alone, rtol=0, atol=_ALIKE, equal_nan=True):
            raise PlugInError(
                f"{self._own.shown}: `{method}` gives a row another vector beside other rows: set the model for "
                "inference (`eval()` of torch)"
            )

    def _encoded(self, batch: npt.NDArray[Any], rows: int, method: str, first: int) -> Vectors:
        size = AT_ONCE if self._device == "cpu" else rows
        vectors = np.zeros((len(batch), self.dim), dtype=np.float32)
        with self._alone():
            for where, count in in_pieces(np.arange(len(batch)), size):
                found = self._called(method, batch[where], first + where)
                vectors[where[:count]] = _unit(found)[:count]
        return vectors

    def _called(
        self, method: str, piece: npt.NDArray[Any], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[Any]:
        call = getattr(self._model, method)
        try:
            found = np.asarray(call(_argument(piece)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever somebody else's class raises
            raise self._failed(call, piece, rows, error) from None
        wanted = (len(piece), self.dim)
        if found.shape != wanted or found.dtype.kind not in "fiu":
            raise PlugInError(
                f"{self._own.shown}: `{method}` gives {found.dtype} {found.shape} for {len(piece)} {method}: it has to "
                f"give numbers {wanted}, as its `dim` says"
            )
        return found

    def _failed(
        self,
        call: Callable[[Any], Any],
        piece: npt.NDArray[Any],
        rows: npt.NDArray[np.int64],
        error: BaseException,
    ) -> FailedRowError:
        where = f"{self._own.name} of {sources.place(error, self._own.source)}"
        for number, row in enumerate(rows.tolist()):
            try:
                call(_argument(piece[[number] * len(piece)]))
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001 - as above
                return FailedRowError(where, row, sources.said(error))
        return FailedRowError(
            where, int(rows[0]), f"{sources.said(error)} (with its neighbours alone)"
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread of NumPy's, and of torch's where it is imported: the last bits depend on their number."""
        with ExitStack() as stack:
            stack.enter_context(self._pools.limit(limits=1))
            if "torch" in sys.modules:
                import torch

                stack.enter_context(one_thread())
                stack.enter_context(torch.inference_mode())
            yield


def _argument(piece: npt.NDArray[Any]) -> Any:
    """What a method gets: pixels as they are, captions as a list."""
    return piece.tolist() if piece.dtype == object else piece


def _unit(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Rows of length 1; a row that is zero or not finite stays as it is."""
    whole = rows.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.sqrt(np.einsum("ij,ij->i", whole, whole))
        length[~(np.isfinite(length) & (length > 0))] = 1.0
        found: npt.NDArray[np.float64] = whole / length[:, None]
    return found
