"""Steps as phases of tasks: their claims on the machine, their fingerprints, and which of them are done already."""
