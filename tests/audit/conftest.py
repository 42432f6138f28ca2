"""A run whose captions mean harm, one with concepts, one with near copies, and a real browser to show them to."""

import io
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.browse.server import Server
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tests.support.running import Sample, make_plan, picture, read_tar, run_here, write_tar
from tests.support.serving import serving

HOSTILE = [
    "<script>document.title = 'pwned'</script> a script",
    '"><img src=x onerror="document.title=\'pwned\'"> both \'quotes\' of "them"',
    "</style></title></bdi><svg onload=document.title='pwned'> closes all tags",
    "قطة صغيرة تجلس على سجادة حمراء",
    "חתול קטן \u202egnp.exe כתום",
    "a family 👩\u200d👩\u200d👧\u200d👦 and a flag 🏳️\u200d🌈 of emoji",
    "tab\tand\nline breaks \u0007 and a bell",
]
PLAIN = [f"a plain caption of number {number}" for number in range(40)]
SHORT = ["one", "<b>two</b>", "three"]
COPIES = 4

TWO_STEPS = """
  - signals: [words, characters, min_side]
  - rules: {words: {min: 2}}
  - exact_duplicates: {on: image}
  - write: {samples_per_shard: 30}
"""


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over one tar, which lies beside it in ``in/``."""
    folder = tmp_path_factory.mktemp("hostile")
    captions = [*HOSTILE, *SHORT, *PLAIN]
    samples = [
        Sample(f"k{i:03}", picture(i * 4321, 40 + i, 30), text, {"url": "javascript:alert(1)"})
        for i, text in enumerate(captions)
    ]
    copied = samples[1].image
    samples += [Sample(f"copy{i}", copied, f"a copy, number {i}", {}) for i in range(COPIES)]
    write_tar(folder / "in" / "0.tar", samples)
    run_here(make_plan(folder / "run", folder / "in" / "0.tar", TWO_STEPS, name="hostile"))
    return folder / "run"


@pytest.fixture(scope="module")
def browser(hostile: Path) -> Browser:
    return Browser(open_run(str(hostile)), in_words)


@pytest.fixture(scope="module")
def concepts_server(concepts: Browser) -> Iterator[Server]:
    with serving(Server(concepts)) as made:
        yield made


@pytest.fixture(scope="module")
def server(browser: Browser) -> Iterator[Server]:
    with serving(Server(browser)) as made:
        yield made


CLUSTERS, DIM, SAMPLES = 8, 16, 240
CONCEPTS = """
  - embed: {{encoder: precomputed}}
  - rules: {{name: similarity, clip_similarity: {{min: 0.82}}}}
  - semantic_duplicates: {{clusters: 4, epsilon: {epsilon}}}
  - density: {{clusters: 8, keep: {keep}, which: {which}, neighbours: 3}}
  - write
"""


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs a job over parquet with embeddings: ``embedded(keep=0.5, epsilon=0.02)`` is a finished run."""
    folder = tmp_path_factory.mktemp("embedded")
    random = np.random.default_rng(1)
    concepts = random.normal(size=(CLUSTERS, DIM))
    image = concepts[random.integers(0, CLUSTERS, SAMPLES)] * 3 + random.normal(size=(SAMPLES, DIM))
    image[:9] = image[9:18] + 1e-3
    text = image + random.normal(size=(SAMPLES, DIM)) * 2
    np.savez(folder / "0.npz", l14_img=image.astype("f2"), l14_txt=text.astype("f2"))
    keys = [f"key-{number}" for number in range(SAMPLES)]
    pq.write_table(pa.table({"key": keys, "text": keys}), folder / "0.parquet")

    def run(keep: float = 0.5, epsilon: float = 0.02, which: str = "random") -> Path:
        made = folder / f"run-{keep}-{epsilon}-{which}"
        if not made.exists():
            inputs = [{"path": f"{folder}/*.parquet", "features": True}]
            steps = CONCEPTS.format(keep=keep, epsilon=epsilon, which=which)
            run_here(make_plan(made, "", steps, input=inputs, part_samples=50))
        return made

    return run


CLIPART = """
  - embed: {encoder: demo}
  - semantic_duplicates: {clusters: 3, epsilon: 0.07}
  - write"""


@pytest.fixture(scope="session")
def clipart_run(clipart_example: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run over the first pairs of the example data, embedded by the encoder `demo`."""
    folder = tmp_path_factory.mktemp("clipart")
    write_tar(folder / "in/0.tar", read_tar(clipart_example / "00000.tar")[:12])
    run_here(make_plan(folder / "run", folder / "in/0.tar", CLIPART))
    return open_run(str(folder / "run"))


@pytest.fixture(scope="session")
def meaning_server(clipart_run: FinishedRun) -> Iterator[Server]:
    """A server of that run."""
    with serving(Server(Browser(clipart_run, in_words))) as made:
        yield made


FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1000",
]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A selenium driver of a headless Chromium."""
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if not all(programs):
        pytest.skip("no chromium and chromedriver: install Debian's chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(programs[1])
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


ALIKE = """
  - near_pictures: {hamming: 8, difference: 0.6, detail: 0.6}
  - near_duplicates: {jaccard: 0.6, agree: phash, hamming: 20, difference: 1.0, detail: 1.0}
"""


def cropped(sample: Sample, number: int) -> Sample:
    """The picture without a margin, narrow or wide, and a caption with a word more."""
    image = Image.open(io.BytesIO(sample.image)).convert("RGB")
    left, top = (side * (number % 11) // 120 for side in image.size)
    out = io.BytesIO()
    image.crop((left, top, image.width, image.height)).save(out, "PNG")
    return replace(
        sample, key=f"{sample.key}-{number}", image=out.getvalue(), text=f"{sample.text} {number}"
    )


@pytest.fixture(scope="session")
def alike(clipart_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over real pictures and copies of them, in parts of 40."""
    folder = tmp_path_factory.mktemp("alike")
    draw = random.Random(6)
    real = read_tar(clipart_example / "00000.tar")
    samples = real + [cropped(draw.choice(real), number) for number in range(80)]
    draw.shuffle(samples)
    named = [
        replace(s, fields={**s.fields, "uid": f"{draw.getrandbits(128):032x}"}) for s in samples
    ]
    half = len(named) // 2
    write_tar(folder / "in" / "0.tar", named[:half])
    write_tar(folder / "in" / "1.tar", named[half:])
    run_here(make_plan(folder / "run", folder / "in" / "*.tar", ALIKE, part_samples=40))
    return folder / "run"
