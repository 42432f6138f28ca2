"""What a finished run says, as numbers: ledger, tables, funnel, concepts, duplicates, signals."""
