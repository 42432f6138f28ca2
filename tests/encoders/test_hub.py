"""Models of the Hugging Face hub, served here on loopback: found, loaded, kept, and missed in one line."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tamis.pipeline import encoders
from tamis.schemas.errors import ModelError
from tests.conftest import ROOT
from tests.encoders.conftest import TINY
from tests.support.transformers_models import write_clip

PROGRAM = """
import json, sys
from tamis.pipeline import encoders
from tamis.schemas.errors import ModelError

def tell(spec):
    try:
        known = encoders.describe(spec)
        vectors = encoders.load(spec).encode_texts(["a red boat"], 1)
    except ModelError as error:
        return str(error)
    return [known.dim, known.fingerprint, known.preprocessing.mean[0], vectors[0, :4].tolist()]

print(json.dumps([tell(spec) for spec in sys.argv[1:]]))
"""


class Hub(SimpleHTTPRequestHandler):
    """Files of a folder, ``OWNER/NAME/FILE``, under the hub's addresses."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.replace("/resolve/main/", "/"))

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        if file.is_file():
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            self.send_header("ETag", f'"{digest}"')
            self.send_header("X-Repo-Commit", "0" * 40)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, checkpoint: Path) -> Iterator[str]:
    """The address of a hub with `tests/tiny`, `tests/clip` of transformers, and `tests/empty` without weights."""
    import torch
    from safetensors.torch import save_file

    weights = torch.load(checkpoint, weights_only=True)
    config = {"model_cfg": TINY, "preprocess_cfg": {"mean": [0.25] * 3, "std": [0.5] * 3}}
    for name in ("tiny", "empty"):
        (tmp_path / "tests" / name).mkdir(parents=True)
        (tmp_path / "tests" / name / "open_clip_config.json").write_text(json.dumps(config))
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in weights.items()},
        tmp_path / "tests" / "tiny" / "open_clip_model.safetensors",
    )
    write_clip(tmp_path / "tests" / "clip")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(tmp_path))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def told(endpoint: str, cache: Path, *specs: str) -> list[Any]:
    """What another process finds, which reads the address of the hub when it begins."""
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(cache),
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-c", PROGRAM, *specs]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_a_repository_is_a_model_then_and_later_without_the_hub(hub: str, tmp_path: Path) -> None:
    spec = "open_clip:hf-hub:tests/tiny"
    clip = "transformers:tests/clip"
    found, empty, nowhere, clips, no_clip = told(
        hub,
        tmp_path / "cache",
        spec,
        "open_clip:hf-hub:tests/empty",
        "open_clip:hf-hub:no/where",
        clip,
        "transformers:tests/empty",
    )
    assert (clips[0], clips[2], len(clips[3])) == (16, 0.48, 4)
    assert no_clip.startswith("`transformers:tests/empty`: tests/empty has no file config.json")
    assert (found[0], found[2], len(found[3])) == (24, 0.25, 4)
    assert "tests/empty has no file open_clip_model.safetensors or open_clip_pytorch" in empty
    assert nowhere.startswith("`open_clip:hf-hub:no/where`: ")
    assert "\n" not in nowhere
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    again, other, clips_again, other_clip = told(
        f"http://127.0.0.1:{port}",
        tmp_path / "cache",
        spec,
        "open_clip:hf-hub:tests/other",
        clip,
        "transformers:tests/other",
    )
    assert (again, clips_again) == (found, clips)
    assert "does not answer (Connection refused), and the cache has no config.json" in other_clip
    assert "the hub 127.0.0.1 does not answer (Connection refused), and the cache has no" in other
    assert "check the name and the network, or name a local checkpoint" in other


@pytest.mark.parametrize("name", ["", "tiny", "a/b/c", "../x", "a b/c"])
def test_a_name_that_is_no_repository_says_how_it_is_written(name: str) -> None:
    with pytest.raises(ModelError, match="write open_clip:hf-hub:OWNER/NAME"):
        encoders.describe(f"open_clip:hf-hub:{name}")


def test_a_repositorys_name_is_no_path_of_a_job() -> None:
    from tamis.pipeline.steps.embed.config import Embed

    step = Embed(encoder="open_clip:hf-hub:laion/CLIP-ViT-B.32")
    assert step.with_paths(lambda path, **_: f"/there/{path}") == step
