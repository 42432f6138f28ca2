"""The registry of steps: names that lead to classes, settings that are cheap to import, reasons that mean one thing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tamis.pipeline.steps.shared.audit import StepAudit
from tamis.pipeline.tasks.step import Step
from tamis.schemas import ledger, registry
from tests.conftest import ROOT

HEAVY = "datasketch duckdb faiss fsspec numpy pandas PIL pyarrow ray ruamel.yaml scipy torch xxhash"
KINDS = sorted(registry.STEPS)


def told_by(code: str, *arguments: str) -> list[str]:
    """The lines that a fresh interpreter prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_leads_to_its_settings_and_its_step(kind: str) -> None:
    model, step = registry.configuration(kind), registry.step_class(kind)
    assert model.kind == kind
    assert issubclass(step, Step)
    assert step.__name__ == model.__name__


def test_settings_import_pydantic_and_schemas_alone() -> None:
    """Whoever checks a job waits for nothing else."""
    names = [
        f"tamis.{'.'.join(path.relative_to(ROOT).with_suffix('').parts)}"
        for path in sorted((ROOT / "pipeline" / "steps").rglob("config.py"))
    ]
    assert len(names) > len(registry.STEPS)
    code = (
        "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
        f"print(*sorted(set({HEAVY!r}.split()) & set(sys.modules)))\n"
        "print(*(name for name in sys.modules if name.startswith('tamis.pipeline.steps.') and name.endswith('.step')))"
    )
    assert told_by(code, *names) == ["", ""]


def test_what_a_step_says_of_a_run_needs_no_step() -> None:
    """Whoever explains a sample waits for no code that decides."""
    code = (
        "import sys\nfrom tamis.schemas.registry import audit_class\n"
        "for kind in sys.argv[1:]: print(audit_class(kind).__name__)\n"
        "print(*sorted(set('duckdb faiss pandas ray scipy torch'.split()) & set(sys.modules)))\n"
        "print(*(name for name in sys.modules if name.startswith('tamis.pipeline.') and name.endswith('.step')))"
    )
    *classes, heavy, steps = told_by(code, *KINDS)
    assert {"StepAudit", "Rules", "Density"} <= set(classes)
    assert (heavy, steps) == ("", "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_with_cutting_settings_decides_again(kind: str) -> None:
    own = registry.audit_class(kind).decide_again is not StepAudit.decide_again
    assert own == bool(registry.configuration(kind).cutting)


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [(["--help"], []), (["plan", "JOB"], ["rules", "signals", "write"])],
    ids=["help", "plan"],
)
def test_the_settings_and_steps_that_a_job_names_are_imported_and_no_others(
    arguments: list[str], kinds: list[str], tmp_path: Path, clipart_example: Path
) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        f"name: a\ninput: [{{path: '{clipart_example}/*.tar'}}]\noutput: {tmp_path}/run\n"
        "steps: [signals: [words], rules: {words: {min: 2}}, write]"
    )
    code = (
        "import sys\nfrom tamis.jobs.cli.app import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print(*sorted(sys.modules))"
    )
    words = [str(job) if word == "JOB" else word for word in arguments]
    imported = set(told_by(code, *words)[-1].split())
    for module in ("config", "step"):
        found = [k for k in KINDS if f"{registry.STEPS[k].partition(':')[0]}.{module}" in imported]
        assert found == kinds
    assert ("pydantic" in imported) == ("numpy" in imported) == bool(kinds)


def test_a_reason_has_one_meaning() -> None:
    declared = [dict(ledger.FRAME), *(dict(registry.configuration(kind).reasons) for kind in KINDS)]
    for reasons in declared:
        for reason, words in reasons.items():
            assert ledger.reasons()[reason] == words
    assert set(ledger.reasons()) == {reason for reasons in declared for reason in reasons}


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_tells_the_meaning_of_all_reasons_that_it_may_give(kind: str) -> None:
    step = registry.configuration(kind).model_construct()
    for reason, words in ledger.FRAME.items():
        assert ledger.meaning(reason, step) == words
    for reason in step.reasons:
        assert ledger.meaning(reason, step)


@pytest.mark.parametrize("kind", KINDS)
def test_phrases_are_of_reasons_of_the_step_and_have_known_fields(kind: str) -> None:
    model = registry.configuration(kind)
    assert set(model.phrases) <= set(model.reasons)
    for phrase in model.phrases.values():
        phrase.format(reason="a", rule="b", bound="c")


def test_a_reason_of_one_step_imports_no_other_step() -> None:
    """Whoever explains a sample waits for the settings of its job's steps alone."""
    code = (
        "import sys\nfrom tamis.schemas import ledger, registry\n"
        "step = registry.configuration('rules').model_construct()\n"
        "print(ledger.meaning('truncated_image', None), ledger.likeness('below_minimum', step), sep='')\n"
        "print(*(n for n in sys.modules if n.startswith('tamis.pipeline.steps.') and n.endswith('.config')))"
    )
    assert told_by(code) == [
        ledger.FRAME[ledger.Reason.TRUNCATED_IMAGE],
        "tamis.pipeline.steps.shared.config tamis.pipeline.steps.rules.config",
    ]


def test_every_reason_of_the_frame_has_a_meaning() -> None:
    assert set(ledger.FRAME) == set(ledger.Reason)
