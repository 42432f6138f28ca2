"""The step `repeat`: how often each sample is seen, more often the better its score."""
