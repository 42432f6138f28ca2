"""The step `quotas`: a budget shared out over groups."""
