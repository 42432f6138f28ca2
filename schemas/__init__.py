"""What things look like: jobs, tables, the ledger, the manifest. Imports nothing of the project."""
