"""The step `density`: a quota a concept from its complexity (density-based pruning)."""
