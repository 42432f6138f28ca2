"""The step `exclude`: samples that stand in a list, or in another set, are left out."""
