"""The step `balance`: captions with frequent concepts are drawn down (MetaCLIP)."""
