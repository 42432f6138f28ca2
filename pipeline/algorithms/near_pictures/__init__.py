"""Pictures whose perceptual hashes differ in few bits."""
