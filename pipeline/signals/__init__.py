"""The stored columns that a job can ask for."""
