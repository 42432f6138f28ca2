"""The class of an encoder of one's own, from the sources that a run keeps."""

from __future__ import annotations

import json
from dataclasses import replace

from tamis.pipeline.encoders.own import Own
from tamis.pipeline.signals import plugin_files


def with_class(root: str, spec: str | Own) -> str | Own:
    """An encoder that can be loaded; one that has a name stays as it is.

    Raises:
        PlugInError: the sources of the run at ``root`` are missing or others, or cannot be imported.
    """
    if not isinstance(spec, Own):
        return spec
    _, found = plugin_files.loaded(root, spec.name, json.loads(spec.code))
    return replace(spec, factory=found)
