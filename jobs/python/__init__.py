"""The names that ``import tamis`` gives."""

from tamis.pipeline.results.load import load

__all__ = ["load"]
