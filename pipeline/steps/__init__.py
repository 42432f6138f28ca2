"""The steps, a folder each: its settings in ``config.py``, the step in ``step.py``; one family a folder above."""
