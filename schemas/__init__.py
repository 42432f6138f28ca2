"""Schemas of jobs, tables, the ledger and the manifest. Imports nothing of the project."""
