"""Reading a finished run: nothing here changes one."""
