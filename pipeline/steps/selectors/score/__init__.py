"""The step `score`: the best of one signal."""
