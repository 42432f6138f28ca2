"""``python -m tamis.jobs``: the command line, where the console script ``tamis`` is not installed, as on a cluster."""

from tamis.jobs.cli import main

if __name__ == "__main__":
    main()
