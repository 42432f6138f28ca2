"""The step `coverage`: the hardest are dropped, the range of the rest is covered."""
