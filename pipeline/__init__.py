"""How samples flow. ``pipeline.load(RUN)`` gives a finished run back as a webdataset pipeline."""

from pipeline.load import load

__all__ = ["load"]
