"""What moved between two runs, and why."""
