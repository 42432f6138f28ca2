"""The step `signals`: stored columns about each sample."""
