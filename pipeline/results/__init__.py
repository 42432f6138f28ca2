"""What a run leaves for others: shards, the subset, the index of the ledger, the delta."""
