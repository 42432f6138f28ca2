"""The step `prototypes`: samples far from their nearest centroid are kept."""
