"""``python -m tamis.jobs``: the command line without the console script ``tamis``, as on a Ray cluster."""

from tamis.jobs.cli.app import main

if __name__ == "__main__":
    main()
