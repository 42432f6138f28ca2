"""tamis as a library: run a job, open a finished run, and ask it what the command line answers."""
