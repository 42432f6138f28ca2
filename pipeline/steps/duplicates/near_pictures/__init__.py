"""The step `near_pictures`: pictures whose perceptual hashes differ in few bits."""
