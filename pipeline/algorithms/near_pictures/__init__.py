"""Near-duplicate pictures: perceptual hashes that differ in few bits."""
