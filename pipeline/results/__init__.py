"""Results of a run for other programs: shards, the subset, the index of the ledger, the delta."""
