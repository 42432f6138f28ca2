"""A plugin of pytest: how many attacks of each kind were tried, and how many held.

    python -m pytest -p tests.support.attacks            # all tests, and the table
    python -m tests.support.attacks                      # the files of the table alone

An attack is one test, or one example of a parametrised one, in the files that KINDS names. Property tests and the long
fuzz runs try many inputs in one test, which counts once.
"""

from __future__ import annotations

import sys
from collections import Counter

import pytest

KINDS: dict[str, tuple[str, ...]] = {
    "kills, and runs that go on": (
        "runs/test_chaos", "runs/test_resume", "jobs/test_stopping", "jobs/test_run_command", "runs/test_window",
        "runs/test_engine", "runs/test_local_engine",
    ),
    "samples that kill their worker": ("runs/test_isolate", "runs/test_isolate_files"),
    "damaged files of a run": (
        "audit/test_damaged", "audit/test_verify", "audit/test_mending", "audit/test_missing_tables",
        "store/test_numpy_arrays",
    ),
    "job files": (
        "jobs/test_no_traceback", "schemas/test_large_numbers", "schemas/test_truths", "schemas/test_yaml12",
        "schemas/test_first_mistakes", "schemas/test_idle_settings", "schemas/test_problems", "jobs/test_no_path",
    ),
    "arguments of commands": ("jobs/test_odd_arguments", "jobs/test_command_fuzz", "jobs/test_bad_input"),
    "members of tars, rows and json": (
        "inputs/test_bad_inputs", "inputs/test_bad_inputs_run", "inputs/test_tar", "inputs/test_json_lists",
        "inputs/test_json_text", "inputs/test_json_messages", "inputs/test_csv_quotes", "inputs/test_csv_cells",
        "inputs/test_own_types", "inputs/test_parquet_names", "inputs/test_parquet_texts", "inputs/test_fuzz",
        "jobs/test_torn_tars", "runs/test_lacking_columns",
    ),
    "pictures": (
        "inputs/test_images", "inputs/test_png", "inputs/test_jpeg", "inputs/test_opened", "inputs/test_odd_files",
        "inputs/test_names_of_pictures",
    ),
    "bombs and want of memory": (
        "inputs/test_bombs", "inputs/test_want_of_memory", "inputs/test_odd_footers", "steps/test_giant_keys",
        "steps/test_write_large_columns",
    ),
    "ways to name inputs": (
        "inputs/test_patterns", "inputs/test_passed_over", "inputs/test_twice", "inputs/test_folders",
        "inputs/test_web_input", "inputs/test_hub_input", "jobs/test_odd_names", "jobs/test_forms_of_paths",
        "store/test_not_plain",
    ),
    "inputs that change": ("runs/test_changing_inputs", "runs/test_changed_pictures"),
    "runs done again, side by side": (
        "runs/test_done_again", "jobs/test_read_while_done_again", "runs/test_live", "runs/test_moved",
        "runs/test_output_folder", "runs/test_cleaning",
    ),
    "locks": ("store/test_lease",),
    "disks: full, failing, poor, another's": (
        "runs/test_failing_disk", "runs/test_full_disk", "store/test_poor_disks", "runs/test_permissions",
        "runs/test_other_user", "jobs/test_odd_surroundings",
    ),
    "object stores": ("runs/test_object_store", "store/test_storage", "audit/test_many_parts"),
    "Ray, nodes and clusters": (
        "runs/test_ray_start", "runs/test_nodes", "runs/test_nodes_apart", "runs/test_own_code_nodes",
        "jobs/test_addresses", "jobs/test_submit", "jobs/test_cluster_needs",
    ),
    "the image, manifests, Slurm": (
        "jobs/test_image", "jobs/test_deploy", "jobs/test_deploy_files", "jobs/test_slurm", "jobs/test_slurm_nodes",
    ),
    "SQL": ("audit/test_sql_confined", "audit/test_odd_names"),
    "browse": (
        "audit/test_browse", "audit/test_browse_access", "audit/test_browse_beside", "audit/test_browse_choice",
        "audit/test_browse_members",
    ),
    "secrets, and commands to the terminal": (
        "runs/test_secrets", "jobs/test_planted", "jobs/test_plain_tables", "schemas/test_redaction",
        "steps/test_exclude_in_secret",
    ),
    "plug-ins, targets and lists": (
        "steps/test_odd_plugins", "steps/test_odd_targets", "steps/test_listed_tables", "plugins/test_sources",
    ),
}  # fmt: skip
"""The files of each kind, below ``tests/`` and without ending."""

KIND_OF = {f"tests/{file}.py": kind for kind, files in KINDS.items() for file in files}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line a kind: tried, held, failed, and left out for want of something on this machine."""
    came_of: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for outcome, column in {
        "passed": "held",
        "failed": "failed",
        "error": "failed",
        "skipped": "left out",
    }.items():
        for report in terminalreporter.getreports(outcome):
            kind = KIND_OF.get(report.nodeid.partition("::")[0])
            if kind is not None:
                came_of[kind][column] += 1
    terminalreporter.section("attacks")
    terminalreporter.write_line(f"{'':40} {'tried':>6} {'held':>6} {'failed':>6} {'left out':>8}")
    for kind, counts in [*came_of.items(), ("together", sum(came_of.values(), Counter()))]:
        held, failed = counts["held"], counts["failed"]
        row = f"{kind:40} {held + failed:6} {held:6} {failed:6} {counts['left out']:8}"
        terminalreporter.write_line(row)


if __name__ == "__main__":
    sys.exit(pytest.main([*sys.argv[1:], "-p", "tests.support.attacks", *KIND_OF]))
