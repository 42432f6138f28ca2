"""The command line: arguments, options and help of every command."""
