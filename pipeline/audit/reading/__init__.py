"""A finished run as numbers: ledger, tables, funnel, concepts, duplicates, signals."""
