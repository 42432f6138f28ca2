"""A job file is read as YAML 1.2, checked, and whatever is wrong with it is one line that shows the mend."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tamis.pipeline.steps.duplicates.exact.config import ExactDuplicates
from tamis.pipeline.steps.rules.config import Bound, Rules
from tamis.pipeline.steps.selectors.density.config import Density
from tamis.pipeline.steps.signals.config import Signals
from tamis.schemas import yaml12
from tamis.schemas.errors import JobError
from tamis.schemas.job import Input, Job, Limits
from tamis.schemas.parse import dump, parse_job
from tamis.schemas.registry import STEPS, configuration
from tamis.schemas.resources import Claim, Resources

HEAD = "name: a\ninput: [{path: x.tar}]\noutput: o\n"
SHARE = "a share in (0, 1], written with a point (1.0), or a count of at least 1"
ON = "wanted `image`, `pixels`, `pair` or `url_text`"
STEP = "a step is a map of one key, its kind: `- density: {keep: 0.4}`"


def job(steps: str, *settings: str) -> Job:
    """A job of one flow list of steps."""
    return parse_job(f"{HEAD}steps: [{steps}]", "j.yaml", settings)


def wrong(text: str, *settings: str) -> str:
    """The message about a bad job, without its file's name."""
    with pytest.raises(JobError) as caught:
        parse_job(text, "j.yaml", settings)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix("j.yaml: ")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        # a kind, a key, a value with a typo
        ("{densty: {keep: 1.0}}", "steps.0: no such step `densty`; did you mean `density`?"),
        ("{density: {kep: 1.0}}", "density: unknown key `kep`; did you mean `keep`?"),
        ("{rules: {words: {mni: 2}}}", "rules.words: unknown key `mni`; did you mean `min`?"),
        (
            "{rules: {name: x, words: {mni: 2}}}",
            "x.words: unknown key `mni`; did you mean `min`?",
        ),
        (
            "{exact_duplicates: {on: imge}}",
            f"exact_duplicates.on: {ON}, got 'imge'; did you mean `image`?",
        ),
        ("{write: {fromat: auto}}", "write: unknown key `fromat`; did you mean `format`?"),
        (
            "{write: {zzz: auto}}",
            (
                "write: unknown key `zzz`; known: by, columns, embeddings, embeddings_as, format, json, name, "
                "pictures, samples_per_shard, times"
            ),
        ),
        # what is missing
        ("{density: {}}", "density: `keep` is missing"),
        ("embed", "embed: `encoder` is missing"),
        ("{rules: {}}", "rules: wanted a list of 1 or more, got none"),
        ("{rules: {words: {}}}", "rules.words: a rule needs `min`, `max` or `in`"),
        ("{signals: []}", "signals.names: wanted a list of 1 or more, got none"),
        # a wrong type
        ("3", f"steps.0: {STEP}"),
        ("{density: {keep: 1.0}, write: {}}", f"density: {STEP}"),
        ("{density: [1]}", "density: wanted a map, got [1]"),
        ("{signals: words}", "signals: wanted a map, got 'words'"),
        ("{signals: [words, 3]}", "signals.names.1: wanted text, got 3"),
        ("{rules: {words: 2}}", "rules.words: wanted a map, got 2"),
        ("{rules: {words: {min: two}}}", "rules.words.min: wanted a number or `auto`, got 'two'"),
        ("{rules: {words: {in: en}}}", "rules.words.in: wanted a list, got 'en'"),
        (
            "{near_duplicates: {jaccard: 80%}}",
            "near_duplicates.jaccard: wanted a number, got '80%'",
        ),
        (
            "{write: {samples_per_shard: 1.5}}",
            "write.samples_per_shard: wanted a whole number, got 1.5",
        ),
        # out of range
        ("{density: {keep: 0}}", f"density.keep: keep is 0: {SHARE}"),
        ("{density: {keep: -0.1}}", f"density.keep: keep is -0.1: {SHARE}"),
        ("{density: {keep: 1.5}}", f"density.keep: keep is 1.5: {SHARE}"),
        ("{density: {keep: .nan}}", f"density.keep: keep is nan: {SHARE}"),
        ("{density: {keep: '0.4'}}", f"density.keep: keep is 0.4: {SHARE}"),
        ("{density: {keep: true}}", f"density.keep: keep is True: {SHARE}"),
        (
            "{density: {keep: 1.0, temperature: 0}}",
            "density.temperature: wanted a number above 0, got 0",
        ),
        (
            "{density: {keep: 1.0, temperature: .inf}}",
            "density.temperature: wanted a finite number, got inf",
        ),
        (
            "{density: {keep: 1.0, clusters: many}}",
            "density.clusters: wanted a whole number or `auto`, got 'many'",
        ),
        (
            "{density: {keep: 1.0, clusters: 2.5}}",
            "density.clusters: wanted a whole number or `auto`, got 2.5",
        ),
        ("{density: {keep: 1.0, clusters: 0}}", "density: clusters is 0: at least 1"),
        (
            "{near_duplicates: {jaccard: 1.2}}",
            "near_duplicates.jaccard: wanted a number of at most 1, got 1.2",
        ),
        (
            "{rules: {words: {min: 3, max: 2}}}",
            "rules.words: min 3 is above max 2: nothing could pass",
        ),
        (
            "{rules: {words: {min: .nan}}}",
            "rules.words.min: wanted a finite number or `auto`, got nan",
        ),
        (
            "{rules: {nsfw: {max: 1, in: [a]}}}",
            "rules.nsfw: `in` cannot stand beside `min` or `max`",
        ),
        # names and order
        (
            "{density: {keep: 1.0, name: Big}}",
            "Big.name: wanted a name of small letters, digits, `-` and `_`, such as `my-job`, got 'Big'",
        ),
        (
            "{rules: {words: {min: 1}}}, {rules: {width: {min: 1}}}",
            "job: two steps are called `rules`: give one of them a `name:`",
        ),
        (
            "{rules: {name: ledger, words: {min: 1}}}",
            "job: `ledger` is the name of a built-in step: choose another `name:`",
        ),
        ("write, {density: {keep: 1.0}}", "job: `write` stands once, as the last step"),
        ("", "steps: wanted a list of 1 or more, got none"),
    ],
)
def test_a_bad_step_is_one_line(steps: str, message: str) -> None:
    assert wrong(f"{HEAD}steps: [{steps}]") == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a job is a map with the keys name, input, output, seed, part_samples, "),
        ("[]", "a job is a map with the keys "),
        ("name: [", "not YAML: while parsing a flow node"),
        ("name: a\nname: b", "not YAML: the key `name` is repeated in "),
        (
            "nmae: a\ninput: [{path: x}]\noutput: o\nsteps: [write]",
            "job: unknown key `nmae`; did you mean `name`?",
        ),
        (
            "name: A b\ninput: [{path: x}]\noutput: o\nsteps: [write]",
            "name: wanted a name of small letters",
        ),
        ("name: a\noutput: o\nsteps: [write]", "job: `input` is missing"),
        ("name: a\ninput: 7\noutput: o\nsteps: [write]", "input: wanted a list, got 7"),
        (
            "name: a\ninput: [{path: y}, x.tar]\noutput: o\nsteps: [write]",
            "input.1: wanted a map, got 'x.tar'",
        ),
        ("name: a\ninput: [{}]\noutput: o\nsteps: [write]", "input.0: `path` is missing"),
        (
            "name: a\ninput: [{path: 3}]\noutput: o\nsteps: [write]",
            "input.0.path: wanted a list, got 3",
        ),
        (
            "name: a\ninput: [{path: x, pth: y}]\noutput: o\nsteps: [write]",
            "input.0: unknown key `pth`; did you mean `path`?",
        ),
        (
            "name: a\ninput: [{path: x, format: webdatset}]\noutput: o\nsteps: [write]",
            "input.0.format: no format `webdatset`; did you mean `webdataset`?",
        ),
        (
            "name: a\ninput: [{path: x, format: zip}]\noutput: o\nsteps: [write]",
            "input.0.format: no format `zip`; known: auto, csv, folder, jsonl, parquet, webdataset",
        ),
        (
            "name: a\ninput: [{path: x, format: 3}]\noutput: o\nsteps: [write]",
            "input.0.format: wanted text, got 3",
        ),
        (
            "name: a\ninput: [{path: x}, {path: y}]\noutput: o\nsteps: [write]",
            "job: two input entries have the same name: give each a `name:`",
        ),
        (f"{HEAD}steps: [write]\nseed: x", "seed: wanted a whole number, got 'x'"),
        (f"{HEAD}steps: [write]\nseed: -1", "seed: wanted a number of at least 0, got -1"),
        (
            f"{HEAD}steps: [write]\nresources: {{cpu: 2}}",
            "resources: unknown key `cpu`; did you mean `cpus`?",
        ),
        (
            f"{HEAD}steps: [write]\nresources: {{cpus: 0}}",
            "resources.cpus: wanted a number of at least 1, got 0",
        ),
        (f"{HEAD}steps:", "steps: wanted a list, got nothing"),
    ],
)
def test_a_bad_job_is_one_line(text: str, message: str) -> None:
    assert wrong(text).startswith(message)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("keep", "--set keep: write path=value, for example density.keep=0.3"),
        ("=3", "--set =3: write path=value, for example density.keep=0.3"),
        (
            "densty.keep=1",
            "--set densty.keep=1: no such step or key `densty`; did you mean `density`?",
        ),
        (
            "density=1",
            "--set density=1: `density` is a step: name one of its keys, density.KEY=VALUE",
        ),
        ("density.kep=1", "density: unknown key `kep`; did you mean `keep`?"),
        (
            "density.keep=[",
            "--set density.keep=[: the value is not YAML: write it in quotes of its own, '\"[\"'",
        ),
        (
            "input.0.path=*.tar",
            "--set input.0.path=*.tar: the value is not YAML: write it in quotes of its own, '\"*.tar\"'",
        ),
        ("input.1.path=x", "--set input.1.path=x: there is nothing at `1`"),
        ("seed.x=1", "--set seed.x=1: there is nothing at `x`"),
        ("small.words.mni=3", "small.words: unknown key `mni`; did you mean `min`?"),
    ],
)
def test_a_bad_setting_is_one_line(setting: str, message: str) -> None:
    steps = "steps: [{rules: {name: small, words: {min: 2}}}, {density: {keep: 0.5}}]"
    assert wrong(f"{HEAD}seed: 1\n{steps}", setting) == message


def test_settings_reach_steps_by_name_and_everything_else_by_path() -> None:
    changed = job(
        "{rules: {name: small, words: {min: 2}}}, {rules: {bounds: {width: {min: 2}}}}, exact_duplicates, "
        "{signals: [width]}",
        "small.words.min=5",
        "rules.width.min=7",
        "rules.height.max=9",
        "exact_duplicates.on=pixels",
        "input.0.path=y.tar",
        "resources.cpus=1",
        "seed=7",
        "signals.names=[height]",
    )
    small, rules, exact, signals = changed.steps
    assert isinstance(small, Rules)
    assert isinstance(rules, Rules)
    assert isinstance(exact, ExactDuplicates)
    assert small.bounds["words"].min == 5
    assert rules.bounds["width"].min == 7
    assert rules.bounds["height"].max == 9
    assert exact.on == "pixels"
    assert signals == Signals(names=("height",))
    assert changed.input[0].path == ("y.tar",)
    assert (changed.resources.cpus, changed.seed) == (1, 7)


def test_on_is_a_word_and_not_a_truth() -> None:
    (step,) = job("{exact_duplicates: {on: pair}}").steps
    assert isinstance(step, ExactDuplicates)
    assert step.on == "pair"


def test_steps_have_short_forms() -> None:
    signals, rules, exact = job(
        "{signals: [words, width]}, {rules: {name: r, words: {min: 2}}}, exact_duplicates"
    ).steps
    assert signals == Signals(names=("words", "width"))
    assert rules == Rules.model_validate({"name": "r", "bounds": {"words": {"min": 2}}})
    assert exact == ExactDuplicates()


@pytest.mark.parametrize(
    ("keep", "count"), [("0.4", 400), ("1.0", 1000), ("1", 1), ("250", 250), ("2.0", 2)]
)
def test_keep_is_a_share_or_a_count(keep: str, count: int) -> None:
    (step,) = job(f"{{density: {{keep: {keep}}}}}").steps
    assert isinstance(step, Density)
    assert step.budget(1000, 5000) == count


def test_a_share_means_what_it_says_in_decimal() -> None:
    (step,) = job("{density: {keep: 0.29}}").steps
    assert isinstance(step, Density)
    assert step.budget(100, 100) == 29  # 0.29 as a binary fraction is a little less


def test_keep_may_be_of_all_input() -> None:
    (step,) = job("{density: {keep: 0.5, of: input}}").steps
    assert isinstance(step, Density)
    assert step.budget(700, 1000) == 500


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0x1F", 31),
        ("0o10", 8),
        ("1e-3", 0.001),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("on", "on"),
        ("2024-01-01", "2024-01-01"),
        ("true", True),
        ("null", None),
        (".inf", float("inf")),
    ],
)
def test_scalars_are_yaml_1_2(text: str, value: object) -> None:
    assert yaml12.load(f"a: {text}") == {"a": value}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_what_is_dumped_is_loaded_again(value: object) -> None:
    assert yaml12.load(yaml12.dump(value)) == value


def test_a_dumped_job_is_the_same_job() -> None:
    one = job(
        "{signals: [words, bounds]}, {rules: {bounds: {name: {min: 1}, language: {in: [en, 3, true]}}}}, "
        "{embed: {encoder: demo, as: small}}, {density: {keep: 7, clusters: auto}}, write",
        "limits.max_pixels=5",
    )
    assert parse_job(dump(one), "dumped") == one


def test_every_field_says_what_it_is() -> None:
    models: list[type[BaseModel]] = [
        Job,
        Input,
        Limits,
        Resources,
        Claim,
        Bound,
        *map(configuration, STEPS),
    ]
    undescribed = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if field.description is None
        and (model is not Job or name not in {"input", "limits", "resources", "steps"})
    ]
    assert not undescribed


def test_messages_carry_no_terms_of_python() -> None:
    for steps in (
        "{density: {keep: {}}}",
        "{embed: {encoder: 3}}",
        "{write: {format: 3}}",
        "{signals: 3}",
    ):
        assert not re.search(r"tuple|dict|instance|validat", wrong(f"{HEAD}steps: [{steps}]"))


@pytest.mark.parametrize("written", ["data/*.tar", "[data/*.tar]", "[{path: data/*.tar}]"])
def test_an_input_may_be_written_in_short(written: str) -> None:
    job = parse_job(f"name: a\ninput: {written}\noutput: o\nsteps: [write]", "job")
    assert [entry.path for entry in job.input] == [("data/*.tar",)]
