"""tamis for Python: what ``import tamis`` gives."""

from tamis.pipeline.results.load import load

__all__ = ["load"]
