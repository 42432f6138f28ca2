"""Settings about machines, and claims of tasks. No byte of a result depends on them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, model_validator

from tamis.schemas.model import Model, Name


@dataclass(frozen=True)
class Claimed:
    """Resources of a node that each task of a phase claims."""

    cpus: float = 1
    gpus: float = 0
    memory: int | None = None  # bytes
    pool: bool = False  # an actor pool: workers that keep a model or centroids between tasks
    workers: int | None = None  # of the pool; as many as fit by default
    tries: int = 2  # how often a task is begun whose worker dies
    decoding_tasks: int = (
        0  # calls of a task's ``TaskIo.ahead`` at work at once, on a processor each
    )


class Claim(Model):
    """The claim of each task of one step; the step decides what is left out."""

    cpus: float | None = Field(None, gt=0, examples=[1], description="processors a task")
    gpus: float | None = Field(
        None,
        ge=0,
        examples=[0],
        description="GPUs a task; a fraction shares one; of a step with `device: cuda`, its tasks that work there",
    )
    memory: int | None = Field(None, ge=1 << 20, examples=[2 << 30], description="bytes a task")
    workers: int | None = Field(
        None,
        ge=1,
        examples=[1],
        description="workers, where the step keeps a model; as many as fit by default",
    )


class Resources(Model):
    """Distribution of the work. Nothing here changes a byte of the result, and none of it is part of a fingerprint."""

    cpus: int | None = Field(
        None,
        ge=1,
        examples=[2],
        description="processors to use on this machine; all of them by default",
    )
    gpus: float = Field(
        0,
        ge=0,
        description="GPUs an embedding worker holds, or one of a step that clusters with `device: cuda`; a fraction "
        "shares one; 0: none, and with `device: cuda` one",
    )
    decode_tasks: int = Field(
        0,
        ge=0,
        description="decoding tasks that an embedding worker with a GPU keeps at work on processors anywhere, one "
        "each; 0: it decodes by itself",
    )
    memory: int | None = Field(
        None,
        ge=1 << 26,
        examples=[2 << 30],
        description="bytes that each task claims that gathers what many parts have written; by default none",
    )
    stuck_after: float = Field(
        600,
        gt=0,
        description="seconds without a finished task after which those at work are named; none is ended",
    )
    grows: bool = Field(
        False,
        description="the cluster adds nodes as they are asked for: a claim that no node meets now is waited for",
    )
    steps: dict[Name, Claim] | None = Field(
        None,
        examples=[{"embed": {"cpus": 1, "gpus": 0, "memory": 2 << 30, "workers": 1}}],
        description="claims of single steps, by their names",
    )

    @model_validator(mode="after")
    def _decoding_finds_a_processor(self) -> Resources:
        if self.decode_tasks and not self.gpus:
            raise ValueError(
                f"`decode_tasks` is {self.decode_tasks}, but workers hold no GPU: they would take the processors that "
                "decoding waits for: set `gpus`, or leave it out"
            )
        return self
