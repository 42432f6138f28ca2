"""The names that ``import tamis`` gives."""

from tamis.jobs.library.finished_run import Run
from tamis.jobs.library.finished_run import open_run as open  # noqa: A004 - tamis.open, as gzip.open
from tamis.jobs.library.job import run
from tamis.pipeline.results.load import load

__all__ = ["Run", "load", "open", "run"]
