"""The step `prototypes`: what lies farthest from its nearest centroid is kept."""
