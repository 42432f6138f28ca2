"""The step `difficulty`: how hard a pair is among fixed reference pairs, as a signal."""
