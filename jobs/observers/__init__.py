"""Observers of a run's events: progress bars, log lines, the journal."""
