"""Executors of a plan's tasks: Ray, or worker processes of this machine. The result is the same, byte for byte."""

from __future__ import annotations

from tamis.pipeline.runs.isolate import Executor
from tamis.pipeline.runs.local_engine import LocalEngine
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.runs.ray_engine import RayEngine
from tamis.pipeline.tasks import claims

LIBRARIES = ("PIL.Image", "faiss", "scipy.sparse", "pandas")
"""What functions of steps import when they are called; pandas, where it is installed, by Arrow."""

HEAVY = {
    "torch": "torch",
    "ftfy": "ftfy",
    "open_clip": "tamis.pipeline.encoders.open_clip_library",
}
"""Modules that take long to import and make no threads until they are used, and what imports each."""


def of(
    plan: Plan, address: str | None = None, *, local: bool = False, base: str | None = None
) -> Executor:
    """An executor for the tasks of a plan, which starts nothing until it is asked for the first.

    Args:
        plan: the plan.
        address: of a Ray cluster; by default Ray is started on this machine.
        local: without Ray.
        base: a finished run, by which nothing is left to compute on a GPU.
    """
    pending = () if base else claims.pending_gpu_claims(plan.job, plan.root)
    if not local:
        return RayEngine(plan.root, plan.job.resources, address, pending)
    return LocalEngine(plan.root, plan.job.resources, pending, *imported(plan))


def imported(plan: Plan) -> tuple[list[str], list[str]]:
    """The modules that the plan's tasks use, for `LocalEngine`: those that all workers need, and the heavy ones."""
    steps = dict.fromkeys(type(step).__module__ for step in plan.steps)
    heavy = dict.fromkeys(module for config in plan.job.steps for module in config.modules)
    return [*steps, *LIBRARIES], [HEAVY[module] for module in heavy if module in HEAVY]
