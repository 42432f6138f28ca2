"""The step `target`: the samples that are nearest to a target."""
