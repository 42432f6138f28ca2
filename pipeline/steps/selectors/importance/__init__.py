"""The step `importance`: captions drawn that look like a target's (DSIR)."""
