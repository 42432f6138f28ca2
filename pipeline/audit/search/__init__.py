"""Search of a run's stored embeddings by text, picture, sample or vector."""
