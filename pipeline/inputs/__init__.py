"""From a job's patterns to files, rows and bytes."""
