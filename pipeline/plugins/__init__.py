"""Code of the user's own: its sources in a job, entry points of packages, and what is imported of both."""
