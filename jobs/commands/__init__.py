"""The work of the commands, one file a command."""
