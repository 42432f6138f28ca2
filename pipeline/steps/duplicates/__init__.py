"""The steps that drop duplicates, and how their groups are made."""
