"""Which samples are kept: quotas, ranks, scores and draws."""
