"""The step `choose`: the samples to which a function of one's own gives the highest values."""
